package call

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// Execute runs the user's command: by its path, or by looking along PATH as
// execvp(3) does, where a file that may not be executed does not end the search
// but is what is reported at its end.
func (p *Calls) Execute(name string, args, env []string) {
	p.Group("exec")
	argv, envp := p.Strings(args, "argv"), p.Strings(env, "envp")
	run := func(file string) *program.Step {
		p.Do("exec %s", file)
		s := p.Call("execve", syscall.SYS_EXECVE, p.String(file), argv, envp)
		s.Exec = true
		return s
	}
	if strings.Contains(name, "/") || name == "" {
		run(name)
		return
	}
	var denied []program.Slot
	files := searchPath(env, name)
	for _, file := range files {
		result := p.Slot("exec-" + file)
		run(file).Tolerate(syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES).To(result)
		denied = append(denied, result)
	}
	report := p.Label("not found")
	for i, file := range files {
		next := p.Label("next to " + file)
		was := p.Label("denied " + file)
		p.IfEqual(denied[i].Value(), program.Errno(syscall.EACCES), was)
		p.Goto(next)
		p.Place(was)
		run(file)
		p.Place(next)
	}
	p.Goto(report)
	p.Place(report)
	// No file has the empty name: this step says ENOENT for the command.
	p.Do("exec %s", name)
	p.Call("execve", syscall.SYS_EXECVE, p.String(""), argv, envp).Exec = true
}

// FindCommand fails, as Execute will, if there is nothing to execute: before a
// wait, so that whoever makes the container hears of it.
func (p *Calls) FindCommand(name string, env []string) {
	p.Group("exec")
	found := p.Label("found the command")
	files := []string{name}
	if !strings.Contains(name, "/") {
		files = searchPath(env, name)
	}
	look := func(file string) *program.Step {
		p.Do("exec %s", name)
		s := p.Call("faccessat2", linux.SysFaccessat2, Cwd(), p.String(file), program.Flags(linux.XOk, "X_OK"), program.Flags(linux.AtEaccess, "AT_EACCESS"))
		s.Exec = true
		return s
	}
	var results []program.Slot
	for _, file := range files {
		r := p.Slot("found-" + file)
		look(file).Tolerate(syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES).To(r)
		p.IfEqual(r.Value(), program.Int(0), found)
		results = append(results, r)
	}
	for i, file := range files {
		denied, next := p.Label("denied "+file), p.Label("next to "+file)
		p.IfEqual(results[i].Value(), program.Errno(syscall.EACCES), denied)
		p.Goto(next)
		p.Place(denied)
		look(file)
		p.Place(next)
	}
	look("")
	p.Place(found)
}

// searchPath lists where a command may be. An empty element of PATH is the
// working directory; without PATH there is nowhere to look.
func searchPath(env []string, name string) []string {
	var files []string
	for _, e := range env {
		value, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		files = nil
		for _, dir := range strings.Split(value, ":") {
			if dir == "" {
				dir = "."
			}
			files = append(files, dir+"/"+name)
		}
	}
	return files
}
