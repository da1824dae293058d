package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
)

// All verbs at once on the same containers: whatever wins, nothing hangs, no
// request is answered with an error of the daemon's, and nothing stays.
func TestVerbsRace(t *testing.T) {
	d := newDaemon(t)
	var before, after system.Info
	d.must(200, "GET", "/info", nil, &before)
	client := http.Client{Transport: d.http.Transport, Timeout: 30 * time.Second}
	post := func(method, path string, in any) (int, string) {
		data, err := json.Marshal(in)
		if err != nil || in == nil {
			data = nil
		}
		req, err := http.NewRequest(method, "http://berth"+path, bytes.NewReader(data))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return 0, ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode, string(body)
	}
	names := []string{"a0", "b0"}
	var work sync.WaitGroup
	end := time.Now().Add(5 * time.Second)
	for worker := range 6 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			for time.Now().Before(end) {
				name := names[r.IntN(len(names))]
				c := "/containers/" + name
				verbs := []func() (int, string){
					func() (int, string) {
						req := sh("sleep 0.0" + fmt.Sprint(r.IntN(9)))
						req.HostConfig.AutoRemove = r.IntN(2) == 0
						if !req.HostConfig.AutoRemove && r.IntN(2) == 0 {
							req.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
						}
						return post("POST", "/containers/create?name="+name, req)
					},
					func() (int, string) { return post("POST", c+"/start", nil) },
					func() (int, string) { return post("POST", c+"/start", nil) },
					func() (int, string) { return post("POST", c+"/stop?t=0", nil) },
					func() (int, string) { return post("POST", c+"/restart?t=0", nil) },
					func() (int, string) { return post("POST", c+"/kill", nil) },
					func() (int, string) { return post("POST", c+"/pause", nil) },
					func() (int, string) { return post("POST", c+"/unpause", nil) },
					func() (int, string) { return post("DELETE", c+"?force=1", nil) },
					func() (int, string) { return post("GET", c+"/json", nil) },
					func() (int, string) { return post("GET", c+"/top", nil) },
					func() (int, string) { return post("GET", c+"/logs?stdout=1&follow=1", nil) },
					func() (int, string) { return post("POST", c+"/attach?stdout=1&logs=1", nil) },
					func() (int, string) {
						status, body := post("POST", c+"/exec", container.ExecCreateRequest{Cmd: []string{"true"}, AttachStdout: true})
						var created container.ExecCreateResponse
						if status != 201 || json.Unmarshal([]byte(body), &created) != nil {
							return status, body
						}
						return post("POST", "/exec/"+created.ID+"/start", container.ExecStartRequest{Detach: r.IntN(2) == 0})
					},
				}
				n := r.IntN(len(verbs))
				if status, body := verbs[n](); status >= 500 {
					t.Errorf("verb %d: %d %s", n, status, body)
				}
			}
		})
	}
	work.Wait()
	for _, c := range d.list() {
		d.do("DELETE", "/containers/"+c.ID+"?force=1", nil, nil) // it may go by itself
	}
	d.eventually("goroutines and files are as before", func() bool {
		d.must(200, "GET", "/info", nil, &after)
		return after.NGoroutines <= before.NGoroutines+3 && after.NFd <= before.NFd+3
	})
	if left := d.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
