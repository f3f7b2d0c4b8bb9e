// Pushed authorization requests (RFC 9126).

package authelia

import (
	"maps"
	"net/http"
	"net/url"
	"time"
)

// pushedFor is how long a pushed request can be used.
const pushedFor = 300 * time.Second

// pushedPrefix begins the names of pushed requests.
const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// pushedRequest is a pushed request. It is used up when a code was issued for it.
type pushedRequest struct {
	clientID string
	query    url.Values
	expires  time.Time
	used     bool
}

// push takes a request from a client. Redirect URI, scope and state are checked here. Answers other than 201 count
// towards the limit of the token endpoint.
func (s *Server) push(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return methodNotAllowed("OPTIONS, POST")
	}
	ip := clientIP(r)
	if wait := s.limited(ip); wait > 0 {
		return errTooManyRequests.json().with("Retry-After", itoa(int(wait.Seconds())))
	}
	a := s.takePushed(r)
	if a.status != http.StatusCreated {
		s.failures[ip] = append(s.failures[ip], s.now())
	}
	return a
}

func (s *Server) takePushed(r *http.Request) answer {
	if !isForm(r) || r.ParseForm() != nil {
		return errInvalidRequest.with("Unable to parse HTTP body, make sure to send a properly formatted form request body.").json()
	}
	client, refusal := s.authenticate(r, (*Client).tokenMethod)
	if refusal != nil {
		return refusal.json()
	}
	query := maps.Clone(r.PostForm)
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		query.Del(name)
	}
	query.Set("client_id", client.ID)
	if query.Has("request_uri") {
		return errInvalidRequest.with("The request must not contain 'request_uri'.").json()
	}
	query.Set("request_uri", pushedPrefix+newUUID())
	a, refusal := s.trust(query)
	if refusal == nil {
		refusal = a.check()
	}
	if refusal != nil {
		return refusal.json()
	}
	if s.pushed == nil {
		s.pushed = map[string]*pushedRequest{}
	}
	s.pushed[query.Get("request_uri")] = &pushedRequest{clientID: client.ID, query: query, expires: s.now().Add(pushedFor)}
	return jsonAnswer(http.StatusCreated, map[string]any{"expires_in": int(pushedFor.Seconds()), "request_uri": query.Get("request_uri")})
}

// pulled returns the request that query names. Pushed values win over those in the query.
func (s *Server) pulled(query url.Values) (url.Values, *oauthError) {
	if !query.Has("request_uri") {
		return query, nil
	}
	pushed := s.pushed[query.Get("request_uri")]
	if pushed == nil || pushed.used || pushed.clientID != query.Get("client_id") || s.now().After(pushed.expires) {
		return nil, errInvalidRequestURI.with("The 'request_uri' is unknown, expired or used.")
	}
	return maps.Clone(pushed.query), nil
}
