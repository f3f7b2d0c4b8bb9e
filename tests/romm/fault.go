// Faults and restarts that a test brings about.

package romm

import (
	"net/http"
	"strings"
	"sync"
)

// faults are the faults that a test brings about.
type faults struct {
	mu      sync.Mutex
	down    bool
	answers map[string]http.HandlerFunc
	holds   map[string]*hold
}

type hold struct {
	arrived  chan struct{}
	released chan struct{}
}

func (f *faults) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func (f *faults) answer(path string) http.HandlerFunc {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers[plainPath(path)]
}

// wait holds a request after its session was read and before anything is written.
func (f *faults) wait(r *http.Request) {
	f.mu.Lock()
	held := f.holds[plainPath(r.URL.Path)]
	delete(f.holds, plainPath(r.URL.Path))
	f.mu.Unlock()
	if held == nil {
		return
	}
	close(held.arrived)
	select {
	case <-held.released:
	case <-r.Context().Done():
	}
}

// Fault makes answer respond for one path, with or without its trailing slash,
// without RomM's session handling, as a proxy in between or an unhandled
// exception would. Nil ends it.
func (s *Server) Fault(path string, answer http.HandlerFunc) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if answer == nil {
		delete(s.faults.answers, plainPath(path))
		return
	}
	s.faults.answers[plainPath(path)] = answer
}

// Hold holds the next request for one path after its session was read and before
// its response: the late response that revives a session. The caller must call
// release.
func (s *Server) Hold(path string) (arrived <-chan struct{}, release func()) {
	held := &hold{arrived: make(chan struct{}), released: make(chan struct{})}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.holds[plainPath(path)] = held
	return held.arrived, sync.OnceFunc(func() { close(held.released) })
}

// Down stops RomM: connections break without a response and all sockets close.
// Sessions survive in Redis.
func (s *Server) Down() {
	s.faults.mu.Lock()
	s.faults.down = true
	s.faults.mu.Unlock()
	s.sockets.closeAll()
}

// Up starts RomM again. It reads the provider's metadata and keys again.
func (s *Server) Up() {
	s.provider.forget()
	s.faults.mu.Lock()
	s.faults.down = false
	s.faults.mu.Unlock()
}

// Upgrade makes RomM a later release, as a new image does. From 5.0 there are only
// two roles. Call it between Down and Up.
func (s *Server) Upgrade(release string) {
	s.install(release)
	for _, u := range s.Users() {
		if s.version.twoRoles() && u.Role != roleAdmin {
			s.change(u.Username, func(u *User) { u.Role = s.version.lowestRole() })
		}
	}
}

// Restart restarts RomM and its Redis: sessions, sockets, the provider's cached
// metadata and keys and, unless Options has one, the secret key are gone.
func (s *Server) Restart() {
	s.DropSessions()
	s.begin()
	s.provider.forget()
	s.sockets.closeAll()
}

// Configure recreates the container with other variables, as after a change of its
// environment. Its database stays.
func (s *Server) Configure(change func(*Options)) {
	s.Down()
	change(&s.options)
	s.options.OIDC = s.options.OIDC.withDefaults()
	s.provider.oidc = s.options.OIDC
	s.install(s.options.Version)
	s.Restart()
	s.Up()
}

func plainPath(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}
