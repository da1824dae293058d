package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Merge completes a request with the image's configuration, as `docker
// inspect` shows it. Merging the result again changes nothing.
func Merge(image ocispec.ImageConfig, c container.Config) container.Config {
	if c.User == "" {
		c.User = image.User
	}
	if c.WorkingDir == "" {
		c.WorkingDir = image.WorkingDir
	}
	if c.StopSignal == "" {
		c.StopSignal = image.StopSignal
	}
	// A new entrypoint leaves the image's command behind; an empty one, [""],
	// is a new one too.
	if len(c.Entrypoint) == 0 {
		if len(c.Cmd) == 0 {
			c.Cmd = slices.Clone(image.Cmd)
		}
		if c.Entrypoint == nil {
			c.Entrypoint = slices.Clone(image.Entrypoint)
		}
	}
	c.Env = mergeEnv(image.Env, c.Env)
	c.Labels = mergeMaps(image.Labels, c.Labels)
	c.Volumes = mergeMaps(image.Volumes, c.Volumes)
	if len(image.ExposedPorts) > 0 {
		ports := make(network.PortSet, len(image.ExposedPorts)+len(c.ExposedPorts))
		maps.Copy(ports, c.ExposedPorts)
		for p := range image.ExposedPorts {
			if port, err := network.ParsePort(p); err == nil { // an image may say anything
				ports[port] = struct{}{}
			}
		}
		c.ExposedPorts = ports
	}
	return c
}

func mergeMaps[V any](image, request map[string]V) map[string]V {
	if len(image) == 0 {
		return request
	}
	m := maps.Clone(image)
	maps.Copy(m, request)
	return m
}

// mergeEnv replaces variables in place and adds new ones at the end. An entry
// without "=" stays, to remove the variable from the defaults too.
func mergeEnv(env, more []string) []string {
	at := make(map[string]int, len(env)+len(more))
	var out []string
	for _, kv := range slices.Concat(env, more) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			out[i] = kv
			continue
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	return out
}

// Command returns the entrypoint followed by the command of a merged configuration.
func Command(c container.Config) []string {
	if len(c.Entrypoint) == 1 && c.Entrypoint[0] == "" { // --entrypoint ""
		return slices.Clone(c.Cmd)
	}
	return slices.Concat(c.Entrypoint, c.Cmd)
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is Docker's: defaults, then what image and request set. HOME is
// the user's unless it is set.
func (b *builder) environment() ([]string, error) {
	env := []string{defaultPath, "HOSTNAME=" + b.hostname()}
	if b.cfg.Tty {
		env = append(env, "TERM=xterm")
	}
	if b.User.Home != "" {
		env = append(env, "HOME="+b.User.Home)
	}
	env = mergeEnv(env, b.cfg.Env)
	for _, kv := range env {
		if strings.ContainsRune(kv, 0) {
			return nil, invalid("environment variable %q contains a NUL", kv)
		}
	}
	return slices.DeleteFunc(env, func(kv string) bool { return !strings.Contains(kv, "=") }), nil
}
