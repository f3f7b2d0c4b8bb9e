// The faults that the tests of the doctor seed.

package tests

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// to returns a ward whose Authelia and metadata are harmed.
func metadata(edit authelia.Edit) func(*ward) {
	return func(w *ward) {
		w.authelia = authelia.New(authelia.Options{
			Issuer: "https://auth.example.com", CookieDomain: "example.com",
			Clients: []authelia.Client{{ID: "romm", Secret: "insecuresecret", RedirectURIs: []string{"https://romm.example.com" + base}}},
		})
		w.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = edit })
	}
}

func client(change func(*authelia.Client)) func(*ward) {
	return func(w *ward) { w.change = func(o *authelia.Options) { change(&o.Clients[0]) } }
}

func rommWith(change func(*romm.Options)) func(*ward) {
	return func(w *ward) { w.rommTo = change }
}

// dated is a server with another clock.
func dated(difference time.Duration) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(difference).UTC().Format(http.TimeFormat))
			h.ServeHTTP(w, r)
		})
	}
}

// answering is a server that answers one path by itself.
func answering(path string, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				answer(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
}

func unknownHost(_ context.Context, host string) ([]string, error) {
	if host == "authelia" {
		return nil, errors.New("lookup authelia: no such host")
	}
	return []string{"127.0.0.1"}, nil
}

func state(s doctor.State) func(*ward) {
	return func(w *ward) { w.running = &doctor.Running{Gates: []doctor.State{s}} }
}

// version is a RomM that says it is another release.
func version(release string) func(http.Handler) http.Handler {
	return answering("/api/heartbeat", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"SYSTEM":{"VERSION":"` + release + `"},"OIDC":{"ENABLED":true}}`))
	})
}

func withoutAdmin(h http.Handler) http.Handler {
	return answering("/api/heartbeat", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"SYSTEM":{"VERSION":"5.2.0","SHOW_SETUP_WIZARD":true},"OIDC":{"ENABLED":true}}`))
	})(h)
}

// thisMachine is where every name leads to.
func thisMachine(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
}

// siteAs has h answer at the public name, over http.
func (w *ward) siteAs(h http.Handler) {
	w.config = strings.NewReplacer("redirect_uri https://", "redirect_uri http://", "romm.example.com, ", "http://romm.example.com, ")
	w.change = func(o *authelia.Options) {
		o.Clients[0].RedirectURIs = []string{"http://romm.example.com" + base}
	}
	w.rommTo = func(o *romm.Options) { o.OIDC.RedirectURI = "http://romm.example.com" + base }
	server := httptest.NewServer(h) // ends with the process
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "romm.example.com:80" {
			address = server.Listener.Addr().String()
		}
		if strings.HasPrefix(address, "romm.example.com") {
			return nil, errors.New("connection refused")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
