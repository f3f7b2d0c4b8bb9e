// Attempts to pass with a token that the gate cannot ask RomM about.

package tests

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// swollen makes RomM's answers about the caller's own account larger by a number of bytes.
func swollen(s *stack, size *atomic.Int64) {
	app := s.romm
	s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/users/me" || r.Method != http.MethodGet || size.Load() == 0 {
			app.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		app.ServeHTTP(answer, r)
		body := bytes.Replace(answer.Body.Bytes(), []byte("{"), []byte(`{"ui_settings":"`+strings.Repeat("x", int(size.Load()))+`",`), 1)
		for name, values := range answer.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}))
}

// Bob's token was recognized a moment ago. He makes his account too large to read,
// and is disabled. The gate cannot tell which user has the token any more. It must not take
// that for "RomM could not be asked", or the token passes for an hour.
func TestTokenInGoodStandingOfALargeAccount(t *testing.T) {
	var size atomic.Int64
	s := start(t, options{directive: rolesByMail + recheckSoon, prepare: func(s *stack) { swollen(s, &size) }})
	s.romm.AddUser(root)
	bob := s.as("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read")
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode != http.StatusOK {
		t.Fatalf("before: %d", answer.StatusCode)
	}
	size.Store(2 << 20)
	s.authelia.DisableUser("bob")
	eventually(t, bob.out)
	fresh := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read")
	eventually(t, func() bool { size.Store(0); defer size.Store(2 << 20); return s.refuses(fresh) }) // shut
	time.Sleep(100 * time.Millisecond)
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode == http.StatusOK {
		t.Errorf("the token of bob, who is disabled and shut, answered %d", answer.StatusCode)
	}
}

// The same with a RomM that does not answer the question within the gate's 3 s, but
// answers the request.
func TestTokenInGoodStandingOfASlowAccount(t *testing.T) {
	var slow atomic.Bool
	s := start(t, options{directive: rolesByMail + recheckSoon, prepare: func(s *stack) {
		app := s.romm
		s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/users/me" && slow.Load() && r.Header.Get("Authorization") != "" {
				time.Sleep(4 * time.Second)
			}
			app.ServeHTTP(w, r)
		}))
	}})
	s.romm.AddUser(root)
	bob := s.as("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read")
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode != http.StatusOK {
		t.Fatalf("before: %d", answer.StatusCode)
	}
	s.authelia.DisableUser("bob")
	eventually(t, bob.out)
	eventually(t, func() bool {
		return s.refuses("Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read"))
	})
	slow.Store(true)
	if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode == http.StatusOK {
		t.Errorf("the token of bob, who is disabled and shut, answered %d", answer.StatusCode)
	}
}
