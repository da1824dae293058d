package network

import "berth/network/bridge"

// Counters are what has passed a running container's interfaces, by their name
// inside, as the host's ends count it.
func (n *Networks) Counters(container string) (map[string]bridge.Counters, error) {
	sb := n.Sandbox(container)
	if sb == nil || len(sb.Endpoints) == 0 {
		return nil, nil
	}
	h, err := n.open()
	if err != nil {
		return nil, err
	}
	var ends []string
	for _, ep := range sb.Endpoints {
		if ep.Lan == nil {
			ends = append(ends, ep.Host)
		}
	}
	counted, err := h.links.Counters(ends)
	if err != nil {
		return nil, err
	}
	all := map[string]bridge.Counters{}
	for _, ep := range sb.Endpoints {
		if c, ok := counted[ep.Host]; ok {
			all[ep.Inside] = c
		}
	}
	if len(ends) < len(sb.Endpoints) {
		err = n.namespaces.Count(h.links, container, all, sb.Lans())
	}
	return all, err
}
