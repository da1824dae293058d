package docker

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"berth/engine"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// netFake is a backend that writes down what it was asked.
type netFake struct {
	Backend
	asked []string
	err   error
	list  []network.Inspect
}

func (f *netFake) ask(format string, args ...any) error {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *netFake) NetworkCreate(_ context.Context, r network.CreateRequest) (network.CreateResponse, error) {
	return network.CreateResponse{ID: "id"}, f.ask("create %s %s %v", r.Name, r.Driver, r.IPAM)
}

func (f *netFake) NetworkList(_ context.Context, filters engine.Filters) ([]network.Inspect, error) {
	return f.list, f.ask("list %v", filters)
}

func (f *netFake) NetworkInspect(_ context.Context, ref string) (network.Inspect, error) {
	return network.Inspect{Network: network.Network{Name: ref}}, f.ask("inspect %s", ref)
}

func (f *netFake) NetworkRemove(_ context.Context, ref string) error { return f.ask("remove %s", ref) }

func (f *netFake) NetworkConnect(_ context.Context, ref string, r network.ConnectRequest) error {
	return f.ask("connect %s %s %v", ref, r.Container, r.EndpointConfig.Aliases)
}

func (f *netFake) NetworkDisconnect(_ context.Context, ref string, r network.DisconnectRequest) error {
	return f.ask("disconnect %s %s %v", ref, r.Container, r.Force)
}

func (f *netFake) NetworkPrune(_ context.Context, filters engine.Filters) (network.PruneReport, error) {
	return network.PruneReport{NetworksDeleted: []string{"a"}}, f.ask("prune %v", filters)
}

func jsonRequest(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func TestNetworkRoutes(t *testing.T) {
	filters := "?filters=" + url.QueryEscape(`{"name":{"a":true}}`)
	tests := []struct {
		name, method, target, body string
		status                     int
		asked, answer              string // what the answer has in it
	}{
		{"list", "GET", "/networks" + filters, "", 200, "list map[name:[a]]", "[]"},
		{"list, bad filters", "GET", "/networks?filters=x", "", 400, "", "filters"},
		{"inspect", "GET", "/v1.44/networks/a", "", 200, "inspect a", `"Containers":{}`},
		{"inspect of a swarm", "GET", "/networks/a?scope=swarm", "", 404, "", `not found`},
		{"inspect, scope local", "GET", "/networks/a?scope=local&verbose=false", "", 200, "inspect a", `"Name":"a"`},
		{"inspect a network called create", "GET", "/networks/create", "", 200, "inspect create", ""},
		{
			"create", "POST", "/networks/create", `{"Name":"a","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"}]}}`,
			201, "create a bridge &{ map[] [{10.0.0.0/24", `{"Id":"id","Warning":""}`,
		},
		{"create without a name", "POST", "/networks/create", `{}`, 400, "", "name is missing"},
		{"create without a body", "POST", "/networks/create", "", 400, "", "body is missing"},
		{"create, bad subnet", "POST", "/networks/create", `{"Name":"a","IPAM":{"Config":[{"Subnet":"10.0.0"}]}}`, 400, "", "request body"},
		{"remove", "DELETE", "/networks/a", "", 204, "remove a", ""},
		{"connect", "POST", "/networks/a/connect", `{"Container":"c","EndpointConfig":{"Aliases":["x"]}}`, 200, "connect a c [x]", ""},
		{"connect plainly", "POST", "/networks/a/connect", `{"Container":"c"}`, 200, "connect a c []", ""},
		{"connect nobody", "POST", "/networks/a/connect", `{}`, 400, "", "container to connect is missing"},
		{"disconnect", "POST", "/networks/a/disconnect", `{"Container":"c","Force":true}`, 200, "disconnect a c true", ""},
		{"disconnect nobody", "POST", "/networks/a/disconnect", `{}`, 400, "", "container to disconnect is missing"},
		{"prune", "POST", "/networks/prune" + filters, "", 200, "prune map[name:[a]]", `{"NetworksDeleted":["a"]}`},
		{"two segments", "GET", "/networks/a/b", "", 404, "", ""},
		{"wrong method", "PUT", "/networks/a", "", 405, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &netFake{}
			w := serve(f, jsonRequest(tt.method, tt.target, tt.body))
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
				t.Errorf("status %d %s; want %d with %s", w.Code, w.Body, tt.status, tt.answer)
			}
			if got := strings.Join(f.asked, "; "); !strings.HasPrefix(got, tt.asked) || (tt.asked == "") != (got == "") {
				t.Errorf("the engine was asked %q, want %q", got, tt.asked)
			}
		})
	}
}

// TestNetworkErrors: the statuses that Docker's clients know.
func TestNetworkErrors(t *testing.T) {
	for status, err := range map[int]error{
		403: errdefs.ErrPermissionDenied.WithMessage("bridge is a pre-defined network and cannot be removed"),
		404: errdefs.ErrNotFound.WithMessage("network a not found"),
		409: errdefs.ErrConflict.WithMessage("network with name a already exists"),
		400: errdefs.ErrInvalidArgument.WithMessage("bad"),
		501: errdefs.ErrNotImplemented.WithMessage("not here"),
	} {
		for _, r := range []*http.Request{
			jsonRequest("GET", "/networks", ""),
			jsonRequest("GET", "/networks/a", ""),
			jsonRequest("POST", "/networks/create", `{"Name":"a"}`),
			jsonRequest("DELETE", "/networks/a", ""),
			jsonRequest("POST", "/networks/a/connect", `{"Container":"c"}`),
			jsonRequest("POST", "/networks/a/disconnect", `{"Container":"c"}`),
			jsonRequest("POST", "/networks/prune", ""),
		} {
			if w := serve(&netFake{err: err}, r); w.Code != status || !strings.Contains(w.Body.String(), err.Error()) {
				t.Errorf("%s %s: %d %s, want %d and %v", r.Method, r.URL, w.Code, w.Body, status, err)
			}
		}
	}
}

// TestNetworkListIsSummaries: as Docker's list, it leaves out the containers.
func TestNetworkListIsSummaries(t *testing.T) {
	f := &netFake{list: []network.Inspect{{
		Network:    network.Network{Name: "a"},
		Containers: map[string]network.EndpointResource{"c": {Name: "web"}},
	}}}
	body := serve(f, jsonRequest("GET", "/networks", "")).Body.String()
	if !strings.Contains(body, `"Name":"a"`) || strings.Contains(body, "web") {
		t.Errorf("list %s", body)
	}
}

func TestCreateWithNetworks(t *testing.T) {
	many := make([]string, maxNetworks+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"n%d":{}`, i)
	}
	within := func(endpoints string) string {
		return `{"Image":"i","NetworkingConfig":{"EndpointsConfig":{` + endpoints + `}}}`
	}
	tests := []struct {
		name, body string
		status     int
		want       map[string]*network.EndpointSettings
	}{
		{"none", `{"Image":"i","NetworkingConfig":null}`, 201, nil},
		{"empty", `{"Image":"i","NetworkingConfig":{}}`, 201, nil},
		{"two", within(`"a":{"Aliases":["x"],"IPAMConfig":{"IPv4Address":"10.0.0.5"}},"b":null`), 201, map[string]*network.EndpointSettings{
			"a": {Aliases: []string{"x"}, IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.0.0.5")}},
			"b": {},
		}},
		{"as docker's client sends them", within(`"a":{"IPAMConfig":{},"Links":null,"MacAddress":"","Gateway":"","IPAddress":"","IPv6Gateway":"","GwPriority":0}`), 201, map[string]*network.EndpointSettings{"a": {IPAMConfig: &network.EndpointIPAMConfig{}}}},
		{"no name", within(`"":{}`), 400, nil},
		{"no address", within(`"a":{"IPAMConfig":{"IPv4Address":"x"}}`), 400, nil},
		{"too many", within(strings.Join(many, ",")), 400, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := fake{create: func(r engine.CreateRequest) error {
				if diff := cmp.Diff(tt.want, r.Networks, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("networks (-want +got):\n%s", diff)
				}
				return nil
			}}
			if w := serve(b, post(tt.body, "application/json")); w.Code != tt.status {
				t.Errorf("status %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestFilterNetworkOfEvents(t *testing.T) {
	m := func(kind events.Type, id, name string) events.Message {
		return events.Message{Type: kind, Actor: events.Actor{ID: id, Attributes: map[string]string{"name": name}}}
	}
	only := engine.Filters{"network": {"front"}}
	for _, tt := range []struct {
		f    engine.Filters
		m    events.Message
		want bool
	}{
		{nil, m(events.ContainerEventType, "1", "front"), true},
		{nil, m(events.NetworkEventType, "1", "front"), true},
		{only, m(events.NetworkEventType, "1", "front"), true},
		{only, m(events.NetworkEventType, "front", "x"), true},
		{only, m(events.NetworkEventType, "1", "back"), false},
		{only, m(events.ContainerEventType, "1", "front"), false},
	} {
		if got := matchNetwork(tt.f, tt.m); got != tt.want {
			t.Errorf("filters %v, event of %s %s: %v", tt.f, tt.m.Type, tt.m.Actor.ID, got)
		}
	}
}
