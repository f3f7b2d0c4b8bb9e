// A user who loses a role while their RomM account is too large to read.

package tests

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A user fills their RomM account with settings until the gate can no longer
// read its role. The gate reads large accounts; it signs out users of even
// larger ones who have lost the administrator's role.
func TestLargeAccountLosesItsRole(t *testing.T) {
	const groups = "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n"
	var settings atomic.Int64 // bytes
	s := start(t, options{directive: groups + recheckSoon, authelia: func(o *authelia.Options) {
		o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
		o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com", Groups: []string{"romm-admins"}})
	}, prepare: func(s *stack) {
		app := s.romm
		s.rommURL = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/users/me" || r.Method != http.MethodGet {
				app.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			app.ServeHTTP(answer, r)
			body := bytes.Replace(answer.Body.Bytes(), []byte("{"), []byte(`{"ui_settings":"`+strings.Repeat("x", int(settings.Load()))+`",`), 1)
			for name, values := range answer.Header() {
				if name != "Content-Length" {
					w.Header()[name] = values
				}
			}
			w.WriteHeader(answer.Code)
			_, _ = io.Copy(w, bytes.NewReader(body))
		}))
	}})
	s.as("root")
	role := func() string { user, _ := s.romm.User("alice"); return user.Role }

	alice := s.as("alice")
	settings.Store(100 << 10)
	s.authelia.SetGroups("alice")
	eventually(t, func() bool { alice.fetch("/api/roms"); return role() == "user" })
	if answer := alice.fetch("/api/roms"); answer.StatusCode != http.StatusOK {
		t.Errorf("a request after alice lost her role answered %d, want 200", answer.StatusCode)
	}

	s.authelia.SetGroups("alice", "romm-admins")
	eventually(t, func() bool { alice.fetch("/api/roms"); return role() == "admin" })
	settings.Store(2 << 20)
	s.authelia.SetGroups("alice")
	eventually(t, func() bool { return alice.out() })
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "account_too_large")
}
