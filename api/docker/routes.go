package docker

import (
	"net/http"
	"path"
	"strings"
)

// handler answers one request. Its error becomes the answer; it must not have
// written one then.
type handler func(w http.ResponseWriter, r *http.Request, v vars) error

// vars are the path's variables.
type vars map[string]string

type route struct {
	method  string
	pattern []string // segments; ":x" matches one, "*x" at least one
	serve   handler
}

// table is the whole API.
func (s *Server) table() []route {
	var t []route
	add := func(method, pattern string, h handler) {
		t = append(t, route{method, strings.Split(pattern[1:], "/"), h})
	}
	get := func(pattern string, h handler) { add(http.MethodGet, pattern, h) }
	post := func(pattern string, h handler) { add(http.MethodPost, pattern, h) }

	get("/_ping", s.ping)
	add(http.MethodHead, "/_ping", s.ping)
	get("/version", s.version)
	get("/info", s.info)
	get("/events", s.events)

	get("/images/json", s.imageList)
	post("/images/create", s.imagePull)
	post("/images/load", s.imageLoad)
	post("/images/prune", s.imagePrune)
	get("/images/*name/json", s.imageInspect)
	get("/images/*name/history", s.imageHistory)
	post("/images/*name/tag", s.imageTag)
	add(http.MethodDelete, "/images/*name", s.imageRemove)

	get("/containers/json", s.containerList)
	post("/containers/create", s.containerCreate)
	post("/containers/prune", s.containerPrune)
	get("/containers/:id/json", s.containerInspect)
	post("/containers/:id/start", s.containerStart)
	post("/containers/:id/stop", s.containerStop)
	post("/containers/:id/restart", s.containerRestart)
	post("/containers/:id/kill", s.containerKill)
	post("/containers/:id/pause", s.containerPause)
	post("/containers/:id/unpause", s.containerUnpause)
	post("/containers/:id/rename", s.containerRename)
	post("/containers/:id/update", s.containerUpdate)
	post("/containers/:id/resize", s.containerResize)
	post("/containers/:id/wait", s.containerWait)
	post("/containers/:id/attach", s.containerAttach)
	get("/containers/:id/logs", s.containerLogs)
	get("/containers/:id/stats", s.containerStats)
	get("/containers/:id/top", s.containerTop)
	get("/containers/:id/explain", s.containerExplain)
	get("/containers/:id/explain/network", s.networkExplain)
	get("/containers/:id/capture", s.containerCapture)
	add(http.MethodDelete, "/containers/:id", s.containerRemove)

	get("/networks", s.networkList)
	post("/networks/create", s.networkCreate)
	post("/networks/prune", s.networkPrune)
	get("/networks/:id", s.networkInspect)
	post("/networks/:id/connect", s.networkConnect)
	post("/networks/:id/disconnect", s.networkDisconnect)
	add(http.MethodDelete, "/networks/:id", s.networkRemove)

	post("/containers/:id/exec", s.execCreate)
	post("/exec/:id/start", s.execStart)
	post("/exec/:id/resize", s.execResize)
	get("/exec/:id/json", s.execInspect)

	post("/berth/explain", s.requestExplain)
	return t
}

// find returns the route of a request's path without its version; known says
// whether the path exists with another method.
func find(table []route, method, p string) (h handler, v vars, known bool) {
	if p == "" || p[0] != '/' || path.Clean(p) != p {
		return nil, nil, false
	}
	segments := strings.Split(p[1:], "/")
	for _, r := range table {
		v, ok := match(r.pattern, segments)
		if !ok {
			continue
		}
		if r.method == method {
			return r.serve, v, true
		}
		known = true
	}
	return nil, nil, known
}

// match compares segments with a pattern that has at most one "*".
func match(pattern, segments []string) (vars, bool) {
	if len(segments) < len(pattern) {
		return nil, false
	}
	v := vars{}
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "*"):
			rest := len(pattern) - i - 1
			n := len(segments) - rest
			v[p[1:]] = strings.Join(segments[i:n], "/")
			tail, ok := match(pattern[i+1:], segments[n:])
			for k, s := range tail {
				v[k] = s
			}
			return v, ok
		case strings.HasPrefix(p, ":"):
			v[p[1:]] = segments[i]
		case p != segments[i]:
			return nil, false
		}
	}
	return v, len(segments) == len(pattern)
}
