// The stand-in's options, its state and its dispatch to the endpoints.

package authelia

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options configures a stand-in. Only Issuer is required.
type Options struct {
	// Issuer is the public scheme and host, without a path or trailing slash: https, or http on a loopback name for a
	// demo. Requests for another scheme or host are refused.
	Issuer string
	// Clients are the registered OAuth 2.0 clients.
	Clients []Client
	// Users are the accounts of the file backend.
	Users []User
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// CookieDomain is the Domain of the session cookie and the domain in which /logout?rd= is safe. Default: a cookie
	// for the issuer's host only.
	CookieDomain string
	// Fetch reads the jwks_uri of clients. Default: a client that gives up after 5 s.
	Fetch *http.Client
	// NoRateLimit switches off the rate limit of the token endpoint, which is on by default as in the original.
	NoRateLimit bool
	// RefreshInterval is how long a portal session relies on what it read of its user. Negative: it reads the user at
	// every request. Default: 5m.
	RefreshInterval time.Duration
	// Lifespans are the lifespans of codes, tokens and the consent step. Default per field: the original's.
	Lifespans Lifespans
}

// Lifespans holds lifespans. A zero field is the original's default.
type Lifespans struct {
	Code         time.Duration // Default: 60s.
	AccessToken  time.Duration // Default: 1h.
	IDToken      time.Duration // Default: 1h.
	RefreshToken time.Duration // Counted from the last rotation. Default: 90m.
	Consent      time.Duration // Counted from the authorization request. Default: 10m.
	Session      time.Duration // The portal's session. Default: 1h.
}

// Server is the stand-in. It is an [http.Handler], and all its methods may be called while it serves.
type Server struct {
	issuer       *url.URL
	cookieDomain string
	rateLimited  bool
	interval     time.Duration
	clock        func() time.Time
	fetch        *http.Client

	mu           sync.Mutex // guards everything below; never held while writing an answer
	clients      map[string]*Client
	users        map[string]*User
	subjects     map[string]string // login name -> sub
	lifespans    Lifespans
	keys         keyring
	sequence     int // orders authentications and authorization requests within one tick of the clock
	sessions     map[string]*session
	flows        map[string]*consentFlow
	consents     map[string]bool // remembered, by consentKey
	codes        map[string]*code
	pushed       map[string]*pushedRequest
	assertions   map[string]bool       // the jti of each
	clientKeys   map[string]clientKeys // by client ID
	access       map[string]*accessToken
	refresh      map[string]*refreshToken
	failures     map[string][]time.Time
	misbehaviour Misbehaviour
	down         *Fault
	release      chan struct{} // closed to end the requests that hang
	record       map[string][]Request
	calls        map[string]int
}

// New returns a stand-in that acts as the OpenID Provider at o.Issuer. It panics on an invalid issuer.
func New(o Options) *Server {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Host == "" || issuer.Scheme+"://"+issuer.Host != o.Issuer {
		panic(fmt.Sprintf("authelia: issuer %q is not a scheme and a host", o.Issuer))
	}
	if issuer.Scheme != "https" && (issuer.Scheme != "http" || !isLoopback(issuer.Hostname())) {
		panic(fmt.Sprintf("authelia: issuer %q is neither https nor http on a loopback name", o.Issuer))
	}
	s := &Server{
		issuer:       issuer,
		cookieDomain: o.CookieDomain,
		rateLimited:  !o.NoRateLimit,
		interval:     o.RefreshInterval,
		clock:        o.Now,
		fetch:        o.Fetch,
		assertions:   map[string]bool{},
		clientKeys:   map[string]clientKeys{},
		clients:      map[string]*Client{},
		users:        map[string]*User{},
		failures:     map[string][]time.Time{},
		release:      make(chan struct{}),
		record:       map[string][]Request{},
		calls:        map[string]int{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.fetch == nil {
		s.fetch = &http.Client{Timeout: 5 * time.Second}
	}
	if s.interval == 0 {
		s.interval = 5 * time.Minute
	}
	for _, c := range o.Clients {
		s.clients[c.ID] = c.clone()
	}
	for _, u := range o.Users {
		s.users[u.Name] = u.clone()
	}
	s.keys = newKeyring(s.algorithms(), 0)
	s.forget()
	s.SetLifespans(o.Lifespans)
	return s
}

// ServeHTTP responds as Authelia would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "413 Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	name := endpointOf(r.URL.Path)
	s.mu.Lock()
	s.note(name, r, body)
	fault, release := s.fault(name), s.release
	s.mu.Unlock()
	if fault != nil {
		fault.write(w, r, release)
		return
	}

	s.answer(name, r).write(w)
}

// answer decides the response to a request, under the lock.
func (s *Server) answer(name string, r *http.Request) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if headerSize(r) > maxHeaderSize {
		return plain(http.StatusRequestHeaderFieldsTooLarge)
	}
	if name == EndpointHealth {
		return jsonAnswer(http.StatusOK, map[string]any{"status": "OK"})
	}
	if !s.addressed(r) {
		return misaddressed(name)
	}
	switch name {
	case EndpointDiscovery:
		return s.metadata(r)
	case EndpointJWKS:
		return s.jwks(r)
	case EndpointAuthorization:
		return s.authorize(r)
	case EndpointToken:
		return s.token(r)
	case EndpointPAR:
		return s.push(r)
	case EndpointUserinfo:
		return s.userinfo(r)
	case EndpointIntrospection:
		return s.introspect(r)
	case EndpointRevocation:
		return s.revoke(r)
	case EndpointPortal:
		return s.portal(r)
	case EndpointConsent:
		return s.consent(r)
	case EndpointCompletion:
		return s.completion(r)
	case EndpointFirstFactor:
		return s.firstFactor(r)
	case EndpointLogout:
		return s.logoutPage(r)
	case EndpointLogoutAPI:
		return s.logoutAPI(r)
	}
	return plain(http.StatusNotFound)
}

// now is the stand-in's time, in UTC.
func (s *Server) now() time.Time { return s.clock().UTC() }

// isLoopback reports whether host is a loopback name or address.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
