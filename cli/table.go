package cli

import (
	"sort"
	"strings"

	"berth/cli/command"
	"berth/cli/container"
	"berth/cli/image"
	"berth/cli/network"
	"berth/cli/system"
)

// commands are all commands, in the order of the overview.
func commands() []command.Command {
	return []command.Command{
		container.Run(), container.Create(), container.Start(), container.Stop(),
		container.Restart(), container.Kill(), container.Pause(), container.Unpause(),
		container.Remove(), container.Rename(), container.Update(), container.Exec(), container.Attach(), container.Wait(),

		container.List(), container.Logs(), container.Inspect(), container.Top(),
		container.Stats(), container.Port(), container.Explain(),

		image.List(), image.Pull(), image.Load(), image.Tag(), image.Remove(),

		network.Create(), network.List(), network.Inspect(), network.Connect(),
		network.Disconnect(), network.Remove(), network.Prune(), network.Capture(), network.Explain(),

		system.Version(), system.Info(), help(), completion(),
	}
}

func find(name string) *command.Command {
	for _, c := range commands() {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// verbsOf are the second words of the commands whose first word is this.
func verbsOf(object string) []string {
	var out []string
	for _, c := range commands() {
		if verb, ok := strings.CutPrefix(c.Name, object+" "); ok {
			out = append(out, verb)
		}
	}
	sort.Strings(out)
	return out
}

// objects maps docker's longer spellings, `berth OBJECT VERB`, to commands.
func objects(name string) (map[string]string, bool) {
	switch name {
	case "container":
		return map[string]string{
			"run": "run", "create": "create", "start": "start", "stop": "stop", "restart": "restart",
			"kill": "kill", "pause": "pause", "unpause": "unpause", "rm": "rm", "rename": "rename", "update": "update",
			"exec": "exec", "attach": "attach", "wait": "wait", "ls": "ps", "list": "ps", "ps": "ps",
			"logs": "logs", "inspect": "inspect", "top": "top", "stats": "stats",
			"port": "port",
		}, true
	case "image":
		return map[string]string{
			"ls": "images", "list": "images", "pull": "pull", "load": "load", "tag": "tag",
			"rm": "rmi", "inspect": "inspect",
		}, true
	case "network":
		verbs := map[string]string{"list": "network ls", "remove": "network rm"}
		for _, v := range verbsOf(name) {
			verbs[v] = name + " " + v
		}
		return verbs, true
	case "system":
		return map[string]string{"info": "info"}, true
	}
	return nil, false
}

func sorted(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
