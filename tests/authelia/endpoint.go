// The paths of the endpoints, and the record of the requests that reached them.

package authelia

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// The endpoints, as [Server.Calls], [Server.Requests] and [Misbehaviour.Faults] name them.
const (
	EndpointDiscovery     = "discovery"
	EndpointJWKS          = "jwks"
	EndpointAuthorization = "authorization"
	EndpointToken         = "token"
	EndpointPAR           = "pushed-authorization-request"
	EndpointUserinfo      = "userinfo"
	EndpointIntrospection = "introspection"
	EndpointRevocation    = "revocation"
	EndpointPortal        = "portal"
	EndpointConsent       = "consent"
	EndpointCompletion    = "completion"
	EndpointFirstFactor   = "firstfactor"
	EndpointLogout        = "logout"
	EndpointLogoutAPI     = "api-logout"
	EndpointHealth        = "health"
	EndpointOther         = "other"
)

// endpoints are the paths measured against Authelia 4.39.20. There is no end-session endpoint.
var endpoints = map[string]string{
	"/.well-known/openid-configuration":       EndpointDiscovery,
	"/.well-known/oauth-authorization-server": EndpointDiscovery,
	"/jwks.json":                             EndpointJWKS,
	"/api/oidc/authorization":                EndpointAuthorization,
	"/api/oidc/token":                        EndpointToken,
	"/api/oidc/userinfo":                     EndpointUserinfo,
	"/api/oidc/pushed-authorization-request": EndpointPAR,
	"/api/oidc/introspection":                EndpointIntrospection,
	"/api/oidc/revocation":                   EndpointRevocation,
	"/":                                      EndpointPortal,
	"/consent/openid/decision":               EndpointConsent,
	"/consent/completion":                    EndpointCompletion,
	"/api/firstfactor":                       EndpointFirstFactor,
	"/logout":                                EndpointLogout,
	"/api/logout":                            EndpointLogoutAPI,
	"/api/health":                            EndpointHealth,
}

func endpointOf(path string) string {
	if name, ok := endpoints[path]; ok {
		return name
	}
	return EndpointOther
}

// mustEndpoint panics on a name that is not an endpoint's, so that a test cannot assert on a misspelled one.
func mustEndpoint(name string) {
	if name != EndpointOther && !slices.Contains(slices.Collect(maps.Values(endpoints)), name) {
		panic("authelia: no endpoint is named " + name)
	}
}

// Request is one request as it arrived, for assertions on the wire.
type Request struct {
	Method     string
	Host       string
	RemoteAddr string
	URL        *url.URL
	Header     http.Header
	Body       string
	// Form is the body's form, empty for other bodies.
	Form url.Values
}

// maxRecorded is how many requests are kept per endpoint.
const maxRecorded = 200

func (s *Server) note(name string, r *http.Request, body []byte) {
	u := *r.URL
	req := Request{
		Method: r.Method, Host: r.Host, RemoteAddr: r.RemoteAddr,
		URL: &u, Header: r.Header.Clone(), Body: string(body), Form: url.Values{},
	}
	if isForm(r) {
		if form, err := url.ParseQuery(req.Body); err == nil {
			req.Form = form
		}
	}
	s.calls[name]++
	kept := append(s.record[name], req)
	s.record[name] = kept[max(0, len(kept)-maxRecorded):]
}

// Calls returns how many requests arrived at an endpoint, answered or not. It panics on an unknown name.
func (s *Server) Calls(endpoint string) int {
	mustEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[endpoint]
}

// Requests returns the last requests (at most 200) that arrived at an endpoint, oldest first. The caller must not change
// them. It panics on an unknown name.
func (s *Server) Requests(endpoint string) []Request {
	mustEndpoint(endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.record[endpoint])
}

// LastRequest returns the newest request that arrived at an endpoint, or false if there was no request.
func (s *Server) LastRequest(endpoint string) (Request, bool) {
	all := s.Requests(endpoint)
	if len(all) == 0 {
		return Request{}, false
	}
	return all[len(all)-1], true
}

// ForgetRequests sets all counters to zero and drops the recorded requests.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.calls)
	clear(s.record)
}
