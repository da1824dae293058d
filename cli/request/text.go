package request

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"berth/cli/client"
)

// maxFile bounds a file that a flag names.
const maxFile = 4 << 20

func readFile(flag, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the file of --%s: %w", flag, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the file of --%s: %w", flag, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read the file of --%s: %s is longer than %d bytes", flag, path, maxFile)
	}
	return data, nil
}

// Environment joins the variables of files and flags. Those of flags come last,
// so that they win; a name without a value takes ours or is left out.
func Environment(files, flags []string) ([]string, error) {
	var env []string
	for _, path := range files {
		lines, err := fileLines("env-file", path)
		if err != nil {
			return nil, err
		}
		env = append(env, lines...)
	}
	env = append(env, flags...)
	out := env[:0:0]
	at := map[string]int{} // where a name is in out: the last value counts
	for _, e := range env {
		name, _, has := strings.Cut(e, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid environment variable %q: it has no name, write NAME=VALUE", e)
		}
		if !has {
			v, ok := os.LookupEnv(name)
			if !ok {
				continue
			}
			e = name + "=" + v
		}
		if i, ok := at[name]; ok {
			out[i] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	return out, nil
}

// fileLines reads NAME=VALUE lines. Lines that are empty or begin with # count
// for nothing, and blanks before a name are dropped, as docker does.
func fileLines(flag, path string) ([]string, error) {
	data, err := readFile(flag, path)
	if err != nil {
		return nil, err
	}
	var out []string
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeftFunc(lines.Text(), unicode.IsSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		if name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("read the file of --%s: %s line %d: %q is no name of a variable, write NAME=VALUE", flag, path, n, name)
		}
		out = append(out, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the file of --%s: %s: %w", flag, path, err)
	}
	return out, nil
}

func labels(files, flags []string) (map[string]string, error) {
	var all []string
	for _, path := range files {
		lines, err := fileLines("label-file", path)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	var out map[string]string
	for _, l := range append(all, flags...) {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid --label %q: it has no name, write NAME=VALUE", l)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

func pairs(flag string, values []string) (map[string]string, error) {
	var out map[string]string
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("invalid --%s %q: write NAME=VALUE", flag, v)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

func restartPolicy(s string) (*client.RestartPolicy, error) {
	name, times, counted := strings.Cut(s, ":")
	p := &client.RestartPolicy{Name: name}
	switch name {
	case "", "no":
		if counted {
			break
		}
		return nil, nil
	case "always", "unless-stopped":
		if counted {
			break
		}
		return p, nil
	case "on-failure":
		if !counted {
			return p, nil
		}
		n, err := strconv.Atoi(times)
		if err != nil || n < 0 {
			break
		}
		p.MaximumRetryCount = n
		return p, nil
	}
	return nil, fmt.Errorf("invalid --restart %q: give no, on-failure[:TIMES], always or unless-stopped", s)
}

// securityOption checks one --security-opt and puts a profile's text in place of
// its file name.
func securityOption(o string) (string, error) {
	key, value, has := strings.Cut(o, "=")
	if !has {
		key, value, has = strings.Cut(o, ":") // docker's older way to write it
	}
	switch {
	case key == "no-new-privileges" && (!has || value == "true" || value == "false"):
		return o, nil
	case (key == "label" || key == "apparmor") && has:
		return key + "=" + value, nil
	case key == "seccomp" && (value == "unconfined" || value == "builtin"):
		return key + "=" + value, nil
	case key == "seccomp" && value != "":
		data, err := readFile("security-opt seccomp", value)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		if err := json.Compact(&b, data); err != nil {
			return "", fmt.Errorf("read the seccomp profile %s: it is not JSON: %w", value, err)
		}
		return "seccomp=" + b.String(), nil
	}
	return "", fmt.Errorf("invalid --security-opt %q: give seccomp=FILE, seccomp=unconfined, no-new-privileges or systempaths=unconfined", o)
}
