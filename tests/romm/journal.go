// The record of the requests that arrived.

package romm

import (
	"net/http"
	"slices"
	"sync"
)

// Request is one request as it arrived.
type Request struct {
	Method string
	// Path is the decoded path, as RomM's routes see it.
	Path string
	// Query is the raw query.
	Query  string
	Header http.Header
	Host   string
	// RemoteAddr is the peer's address, whatever X-Forwarded-For says.
	RemoteAddr string
	// User is the request's authenticated user, "" if it was anonymous.
	User string
}

type journal struct {
	mu       sync.Mutex
	requests []*Request
}

func (j *journal) add(r *http.Request) *Request {
	entry := &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(),
		Host: r.Host, RemoteAddr: r.RemoteAddr,
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = append(j.requests, entry)
	return entry
}

func (j *journal) authenticated(entry *Request, user string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	entry.User = user
}

// Requests returns all requests that arrived, in order.
func (s *Server) Requests() []Request {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	all := make([]Request, 0, len(s.journal.requests))
	for _, r := range s.journal.requests {
		all = append(all, *r)
	}
	return all
}

// LastRequest returns the newest request for exactly path.
func (s *Server) LastRequest(path string) (Request, bool) {
	for _, r := range slices.Backward(s.Requests()) {
		if r.Path == path {
			return r, true
		}
	}
	return Request{}, false
}

// ForgetRequests empties the record.
func (s *Server) ForgetRequests() {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.requests = nil
}
