// Faults and protocol violations that a test switches on.

package authelia

import (
	"maps"
	"net/http"
	"net/url"
)

// Edit changes a JSON object before it is sent or signed. It runs under the stand-in's lock and must not call the
// stand-in's methods.
type Edit func(object map[string]any)

func (e Edit) apply(object map[string]any) {
	if e != nil {
		e(object)
	}
}

// Set returns an [Edit] that sets one member.
func Set(name string, value any) Edit {
	return func(object map[string]any) { object[name] = value }
}

// Without returns an [Edit] that removes members.
func Without(names ...string) Edit {
	return func(object map[string]any) {
		for _, name := range names {
			delete(object, name)
		}
	}
}

// Edits returns an [Edit] that applies edits one after the other.
func Edits(edits ...Edit) Edit {
	return func(object map[string]any) {
		for _, e := range edits {
			e.apply(object)
		}
	}
}

// Misbehaviour says where the stand-in deviates from the specifications or from the original. Its zero value is proper
// behaviour.
type Misbehaviour struct {
	// Metadata edits the discovery document, for instance Set("issuer", "https://evil.example.test").
	Metadata Edit
	// JWKS edits the document with the public keys, whose member keys is a list of objects.
	JWKS Edit
	// AuthorizationResponse edits the parameters sent to the redirect URI, for instance iss. It runs under the
	// stand-in's lock.
	AuthorizationResponse func(url.Values)
	// TokenResponse edits the token endpoint's successful response, for instance Without("id_token") or Set("token_type", "BEARER").
	TokenResponse Edit
	// IDToken edits the claims before they are signed, for instance Without("sub") or Set("nonce", "another").
	IDToken Edit
	// Signature is how the ID token is signed.
	Signature Signature
	// TokenPadding makes access and refresh tokens longer by so many bytes. They still work.
	TokenPadding int
	// Userinfo replaces the userinfo claims with what it returns, of any JSON type. It runs under the stand-in's lock.
	Userinfo func(claims map[string]any) any
	// Withdraw refuses the tokens of accounts that are disabled or deleted, as other providers do. The original goes on
	// refreshing them, and answers userinfo without claims.
	Withdraw *Withdrawal
	// AlwaysRefresh issues refresh tokens to sign-ins without the scope offline_access, too.
	AlwaysRefresh bool
	// StrictOffline drops the scope offline_access from requests without prompt=consent (OIDC Core 11), and does not say so.
	StrictOffline bool
	// Faults replaces the responses of endpoints, by name.
	Faults map[string]Fault
}

// Fail sets a fault for an endpoint. It panics on an unknown name.
func (m *Misbehaviour) Fail(endpoint string, f Fault) {
	mustEndpoint(endpoint)
	faults := map[string]Fault{endpoint: f}
	for name, other := range m.Faults {
		if name != endpoint {
			faults[name] = other
		}
	}
	m.Faults = faults
}

// Fault is a response that does not depend on the request.
type Fault struct {
	// Status of the response. Default: 200.
	Status int
	// Header of the response, for instance a Location or another Content-Type.
	Header http.Header
	// Body of the response.
	Body string
	// Hang sends no response until the client goes away or the stand-in behaves again.
	Hang bool
	// Reset breaks the connection without a response.
	Reset bool
	// Times is how many requests fail before the endpoint recovers. Default: 0, all of them.
	Times int
}

// Misbehave changes the stand-in's misbehaviour from the next request on. Changes add up until [Server.Behave].
func (s *Server) Misbehave(change func(*Misbehaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.misbehaviour)
	s.misbehaviour.Faults = maps.Clone(s.misbehaviour.Faults)
}

// Behave ends all misbehaviour and breaks the connections that hang.
func (s *Server) Behave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misbehaviour = Misbehaviour{}
	s.letGo()
}

// Down breaks every connection, until [Server.Up].
func (s *Server) Down() { s.fail(&Fault{Reset: true}) }

// Unavailable responds to every request with 503 and an empty body, until [Server.Up]. A Caddy in front of a stopped
// Authelia does the same with 502.
func (s *Server) Unavailable() { s.fail(&Fault{Status: http.StatusServiceUnavailable}) }

// Hang responds to no request, until [Server.Up].
func (s *Server) Hang() { s.fail(&Fault{Hang: true}) }

// Up ends [Server.Down], [Server.Unavailable] and [Server.Hang].
func (s *Server) Up() { s.fail(nil) }

func (s *Server) fail(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = f
	s.letGo()
}

// letGo ends the requests that hang.
func (s *Server) letGo() {
	close(s.release)
	s.release = make(chan struct{})
}

// fault returns the fault for a request to the endpoint, or nil.
func (s *Server) fault(endpoint string) *Fault {
	if s.down != nil {
		return s.down
	}
	f, ok := s.misbehaviour.Faults[endpoint]
	if !ok {
		return nil
	}
	if f.Times == 1 {
		delete(s.misbehaviour.Faults, endpoint)
	} else if f.Times > 1 {
		f.Times--
		s.misbehaviour.Faults[endpoint] = f
	}
	return &f
}

func (f *Fault) write(w http.ResponseWriter, r *http.Request, release <-chan struct{}) {
	if f.Hang {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}
	if f.Hang || f.Reset {
		panic(http.ErrAbortHandler) // net/http closes the connection without a response
	}
	maps.Copy(w.Header(), f.Header)
	if f.Status != 0 {
		w.WriteHeader(f.Status)
	}
	_, _ = w.Write([]byte(f.Body)) // the client may have gone away
}
