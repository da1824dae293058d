package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunPassesOutputAndExitCode(t *testing.T) {
	f := newFake(t)
	f.container(func(conn net.Conn, in io.Reader) {
		data, _ := io.ReadAll(in) // ends with our half-close
		_, _ = io.WriteString(conn, frame(1, "out:"+string(data))+frame(2, "err"))
	}, 42)
	f.run("input", "run", "-i", "--name", "c", "toolbox", "cat").check(t, 42, "out:input", "err")
	if !f.saw("POST /containers/create?name=c") {
		t.Errorf("no create with the name: %q", f.requests)
	}
}

func TestRunPullsWhatIsMissing(t *testing.T) {
	f := newFake(t)
	f.container(func(conn net.Conn, _ io.Reader) { _, _ = io.WriteString(conn, frame(1, "ok")) }, 0)
	create := f.routes["POST /containers/create"]
	pulled := false
	f.routes["POST /containers/create"] = func(w http.ResponseWriter, r *http.Request) {
		if !pulled {
			answer(404, `{"message":"no such image: debian:12"}`)(w, r)
			return
		}
		create(w, r)
	}
	f.routes["POST /images/create"] = func(w http.ResponseWriter, r *http.Request) {
		pulled = true
		answer(200, `{"status":"Pulling from debian"}`+"\r\n"+`{"id":"abc","status":"Downloading","progressDetail":{"current":1,"total":2}}`+"\r\n")(w, r)
	}
	got := f.run("", "run", "debian:12")
	got.check(t, 0, "ok", "Unable to find image 'debian:12' locally\nPulling from debian\n")
	if strings.Contains(got.err, "Downloading") {
		t.Errorf("a bar was drawn although stderr is no terminal: %q", got.err)
	}
}

// TestPullTellsWhereTheLoginIs: berthd's environment is not the user's.
func TestPullTellsWhereTheLoginIs(t *testing.T) {
	f := newFake(t)
	f.routes["POST /images/create"] = answer(200, `{"status":"ok"}`)
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	f.run("", "pull", "x:1").check(t, 0, "ok\n", "")
	if !f.saw("POST /images/create?fromImage=x%3A1") {
		t.Error("a login was named although there is no config.json")
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run("", "pull", "x:2").check(t, 0, "ok\n", "")
	if !f.saw("POST /images/create?berthLoginFile=" + url.QueryEscape(filepath.Join(dir, "config.json")) + "&fromImage=x%3A2") {
		t.Errorf("requests %q", f.requests)
	}
}

func TestRunPullNeverAndFailingPull(t *testing.T) {
	f := newFake(t)
	f.routes["POST /containers/create"] = answer(404, `{"message":"no such image: x"}`)
	f.routes["POST /images/create"] = answer(200, `{"errorDetail":{"message":"x is not in the registry"},"error":"x"}`)
	f.run("", "run", "--pull", "never", "x").check(t, 125, "", "berth: no such image: x\n")
	if f.saw("POST /images/create") {
		t.Error("--pull never pulled")
	}
	f.run("", "run", "-q", "x").check(t, 125, "", "berth: x is not in the registry\n")
}

// TestRunMissesSomethingElse: what was not found is not the image, so it is not pulled.
func TestRunMissesSomethingElse(t *testing.T) {
	f := newFake(t)
	f.routes["POST /containers/create"] = answer(400, `{"message":"network back not found"}`)
	f.run("", "run", "--network", "back", "localhost:5000/x:1").check(t, 125, "", "berth: network back not found\n")
	if f.saw("POST /images/create") {
		t.Error("the image is here and was pulled")
	}
}

func TestRunStartFails(t *testing.T) {
	for code, body := range map[int]string{
		127: `{"message":"exec /nope: no such file or directory","exitCode":127}`,
		126: `{"message":"exec /etc: permission denied","exitCode":126}`,
		125: `{"message":"mount proc at /proc: operation not permitted"}`,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			f := newFake(t)
			f.container(func(net.Conn, io.Reader) {}, 0)
			f.routes["POST /containers/"+id+"/start"] = answer(400, body)
			f.routes["DELETE /containers/"+id] = answer(204, "")
			cid := filepath.Join(t.TempDir(), "cid")
			f.run("", "run", "--rm", "--cidfile", cid, "toolbox").check(t, code, "", "berth: ")
			if !f.saw("DELETE /containers/" + id) {
				t.Error("the container that did not start stays although --rm was given")
			}
			if data, err := os.ReadFile(cid); err != nil || string(data) != id {
				t.Errorf("the file of --cidfile has %q, %v", data, err)
			}
		})
	}
}

func TestRunDetached(t *testing.T) {
	f := newFake(t)
	f.container(nil, 0)
	f.run("", "run", "-d", "toolbox").check(t, 0, id+"\n", "")
	if f.saw("POST /containers/" + id + "/attach") {
		t.Error("run -d attached")
	}
}

func TestOtherVersionOfTheDaemon(t *testing.T) {
	for server, want := range map[string]string{
		"berth/test": "",
		"berth/0.9":  "berthd 0.9 runs, but this is berth test: stop berthd",
		"Docker/28":  "", // somebody else's, on purpose
	} {
		f := newFake(t)
		f.routes["GET /containers/json"] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", server)
			answer(200, `[]`)(w, r)
		}
		f.run("", "ps", "-q").check(t, 0, "", want)
	}
}

// TestRunSurvivesTheDaemon ends the daemon while the container runs: the new
// daemon is joined, and the exit code is still the container's.
func TestRunSurvivesTheDaemon(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			f := newFake(t)
			hang := make(chan struct{})
			f.container(func(conn net.Conn, _ io.Reader) {
				_, _ = io.WriteString(conn, frame(1, "before "))
				go func() {
					f.stop()
					close(hang)
					// The daemon that replaces it knows the container.
					f.container(func(conn net.Conn, _ io.Reader) { _, _ = io.WriteString(conn, frame(1, "after")) }, 7)
					startOf := f.routes["POST /containers/"+id+"/start"]
					f.routes["GET /containers/"+id+"/json"] = func(w http.ResponseWriter, r *http.Request) {
						if running {
							startOf(discardWriter{http.Header{}}, r)
						}
						answer(200, fmt.Sprintf(`{"Id":%q,"State":{"Running":%v,"ExitCode":9}}`, id, running))(w, r)
					}
					f.start()
				}()
				<-hang
			}, 0)
			f.routes["POST /containers/"+id+"/wait"] = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				<-hang
				panic(http.ErrAbortHandler)
			}
			got := f.run("", "run", "toolbox")
			want, code := "before after", 7
			if !running {
				want, code = "before ", 9
			}
			got.check(t, code, want, "berthd ended; joining the container again")
		})
	}
}

type discardWriter struct{ h http.Header }

func (d discardWriter) Header() http.Header         { return d.h }
func (d discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (d discardWriter) WriteHeader(int)             {}

func TestUsageErrors(t *testing.T) {
	f := newFake(t)
	tests := []struct {
		line, want string
	}{
		{"nope", `"nope" is not a berth command`},
		{"run", "berth run needs at least 1 argument"},
		{"run --nope toolbox", "unknown flag: --nope: see 'berth run --help'"},
		{"run -m 1x toolbox", `invalid --memory "1x"`},
		{"run -ti toolbox", "the input device is not a TTY"},
		{"exec -ti c sh", "the input device is not a TTY"},
		{"run --cpu-shares x toolbox", "--cpu-shares"},
		{"ps x", "berth ps takes no arguments"},
		{"ps -f x", `invalid --filter "x"`},
		{"rm a/b", `"a/b" is no name`},
		{"rename a", "needs at least 2 arguments"},
		{"image frob", "berth image needs one of inspect, list, load"},
		{"--nope", "unknown flag --nope"},
		{"--host tcp://x ps", "unix:///PATH"},
		{"--host", "--host needs a value"},
		{"logs --tail x c", `invalid --tail "x"`},
		{"logs --since x c", `invalid --since "x"`},
		{"completion tcsh", "bash, zsh or fish"},
		{"run --detach-keys ctrl- toolbox", "--detach-keys"},
		{"load -i /", "is a directory"},
		{"port web http", `"http" is no port`},
		{"port web 0", `"0" is no port`},
		{"run -p 80:80-81 toolbox", "give ranges of the same length"},
		{"run --network a --network none toolbox", `invalid --network "none"`},
		{"network", "berth network needs one of capture, connect, create, disconnect, explain, inspect, list, ls, prune, remove, rm"},
		{"network frob", "berth network needs one of capture, connect"},
		{"network create", "berth network create needs at least 1 argument: usage: berth network create [OPTIONS] NETWORK"},
		{"network create --nope x", "unknown flag: --nope: see 'berth network create --help'"},
		{"network create a/b", `"a/b" is no name`},
		{"network create --subnet 10.0.0.0 a", `invalid --subnet "10.0.0.0"`},
		{"network create --gateway 10.0.0.1 a", `invalid --gateway "10.0.0.1": it is in no --subnet`},
		{"network rm a/b", `"a/b" is no name`},
		{"network connect a", "needs at least 2 arguments"},
		{"network connect --ip x a c", `invalid ip "x" of the network a`},
		{"network connect a/b c", `"a/b" is no name`},
		{"network disconnect . c", `"." is no name`},
		{"network ls -f x", `invalid --filter "x"`},
		{"network prune --filter x", `invalid --filter "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			got := f.run("", strings.Fields(tt.line)...)
			got.check(t, 125, "", tt.want)
			if strings.Count(got.err, "\n") != 1 {
				t.Errorf("%q is not one line", got.err)
			}
		})
	}
	if len(f.requests) > 0 {
		t.Errorf("wrong usage reached the daemon: %q", f.requests)
	}
}

// TestRunRemovesWhatALostStartLeft ends berthd between create and start: with
// --rm, the daemon that replaces it is asked to remove the container.
func TestRunRemovesWhatALostStartLeft(t *testing.T) {
	f := newFake(t)
	f.container(func(net.Conn, io.Reader) {}, 0)
	hang := make(chan struct{})
	defer close(hang)
	f.routes["POST /containers/"+id+"/attach"] = stream(func(net.Conn, io.Reader) { <-hang })
	f.routes["POST /containers/"+id+"/wait"] = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-hang
	}
	f.routes["POST /containers/"+id+"/start"] = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	asked := 0 // the client asks one thing after the other
	f.routes["DELETE /containers/"+id] = func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(204)
	}
	got := f.run("", "run", "--rm", "toolbox")
	got.check(t, 125, "", "lost the connection to berthd")
	if asked != 2 || strings.Contains(got.err, "remove the container") {
		t.Errorf("the removal was asked for %d times, want 2; stderr %q", asked, got.err)
	}
}
