package format

import (
	"encoding/json"
	"net/url"
	"strings"

	"berth/cli/command"
)

// Filters adds the values of --filter to a query, in the API's coding: a JSON
// object of sets.
func Filters(q url.Values, flags []string) error {
	if len(flags) == 0 {
		return nil
	}
	f := map[string]map[string]bool{}
	for _, s := range flags {
		name, value, ok := strings.Cut(s, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || name == "" {
			return command.BadUsage("invalid --filter %q: write NAME=VALUE", s)
		}
		if f[name] == nil {
			f[name] = map[string]bool{}
		}
		f[name][value] = true
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	q.Set("filters", string(data))
	return nil
}
