// Sessions over time: expired tokens, refreshes, revocation, open requests at the end of a session.

package tests

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddytest"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// refreshing lets the client at Authelia use refresh tokens.
func refreshing(o *authelia.Options) {
	o.Clients[0].Scopes = append(o.Clients[0].Scopes, "offline_access")
	o.Clients[0].GrantTypes = []string{"authorization_code", "refresh_token"}
}

const refreshingScopes = "scopes openid profile email offline_access\n"

// A session with an open socket is checked by a timer, since it may send no
// request for hours.
func TestDisabledWithAnOpenSocket(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	alice, bob := s.as("alice"), s.as("bob")
	socket, err := s.socket(bob.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.socket(alice.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	s.authelia.DisableUser("bob")
	began := time.Now()
	if until(socket, "never") || time.Since(began) > 5*time.Second {
		t.Errorf("bob's socket was open for %s after Authelia disabled him, want at most 5 s", time.Since(began))
	}
	if !bob.out() {
		t.Error("bob is signed in though Authelia disabled him")
	}
	scan(t, other)
	if !until(other, `"scan:done"`) {
		t.Error("alice's socket is closed, want it open")
	}
	eventually(t, func() bool { return s.romm.Sessions() == 1 })
}

// The tokens expired overnight. The game that was left open can still save,
// and the next navigation passes through Authelia without a password prompt.
func TestMorning(t *testing.T) {
	short := authelia.Lifespans{AccessToken: 3 * time.Second}
	for name, o := range map[string]options{
		"without refresh tokens": {directive: rolesByMail + recheckSoon, authelia: func(o *authelia.Options) { o.Clients[0].ConsentMode, o.Lifespans = "implicit", short }},
		"with refresh tokens": {directive: rolesByMail + recheckSoon + refreshingScopes, authelia: func(o *authelia.Options) {
			refreshing(o)
			o.Lifespans = short
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			b := s.as("alice")
			fields := b.csrf()
			ticket := b.ticket()
			eventually(t, func() bool {
				s.authelia.ExpireRefreshTokens() // the access token follows by itself
				if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
					t.Fatalf("/api/users/me before the check answered %d, want 200", answer.StatusCode)
				}
				answer := b.open("/rom/7/ejs?a=b%20c")
				if answer.StatusCode != http.StatusFound {
					return false
				}
				if answer := b.fetch("POST /api/saves", fields...); answer.StatusCode/100 != 2 {
					t.Errorf("a save with expired tokens answered %d, want success: %s", answer.StatusCode, answer.body)
				}
				callback, err := s.authelia.SignIn(b.client, answer.Header.Get("Location"), "alice", "no password was asked for")
				if err != nil {
					t.Fatal(err)
				}
				if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/rom/7/ejs?a=b%20c" {
					t.Errorf("the callback answered %d to %q, want 303 to the page of the game", answer.StatusCode, answer.Header.Get("Location"))
				}
				return true
			})
			if b.ticket() == ticket {
				t.Error("the ticket did not change with the new sign-in")
			}
			if answer := b.open("/rom/7/ejs?a=b%20c"); answer.StatusCode != http.StatusOK {
				t.Errorf("the page of the game answered %d, want 200", answer.StatusCode)
			}
			eventually(t, func() bool { return s.romm.Sessions() == 1 })
		})
	}
}

// 200 requests arrive at once just after the access token expired, with an
// Authelia that treats a second refresh as token theft.
func TestExpiryUnderLoadOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon + refreshingScopes, authelia: refreshing})
	b := s.as("alice")
	s.authelia.ExpireAccessTokens()
	s.authelia.ForgetRequests()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
				t.Errorf("/api/users/me answered %d, want 200: %s", answer.StatusCode, answer.body)
			}
		})
	}
	all.Wait()
	eventually(t, func() bool { b.fetch("/api/users/me"); return s.authelia.Calls(authelia.EndpointToken) == 1 })
	time.Sleep(200 * time.Millisecond) // time for further checks
	b.fetch("/api/users/me")
	if n := s.authelia.Calls(authelia.EndpointToken); n != 1 {
		t.Errorf("Authelia got %d refresh requests, want 1", n)
	}
	if answer := b.open("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("a navigation after the refresh answered %d, want 200 with a living token family", answer.StatusCode)
	}
}

// A sign-out revokes the tokens, so that a stolen copy is useless.
func TestSignOutRevokes(t *testing.T) {
	s := start(t, options{directive: rolesByMail + refreshingScopes, authelia: refreshing})
	s.as("alice").fetch("POST /api/logout", "Origin", public)
	eventually(t, func() bool { return s.authelia.Calls(authelia.EndpointRevocation) == 1 })
	request, _ := s.authelia.LastRequest(authelia.EndpointRevocation)
	if request.Form.Get("token_type_hint") != "refresh_token" || !strings.HasPrefix(request.Header.Get("Authorization"), "Basic ") {
		t.Errorf("the revocation request has the form %v and the header %v, want a refresh token and Basic authentication", request.Form, request.Header)
	}
}

// The end of a session aborts its requests over every protocol: a streamed
// response, a response that has not begun, and an upload.
func TestEndOnEveryProtocol(t *testing.T) {
	arrived, stopped := make(chan string, 10), make(chan string, 10)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.URL.Path[len("/api/slow/"):]
		arrived <- kind
		switch kind {
		case "stream":
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "silent":
			<-r.Context().Done()
		case "upload":
			_, _ = io.Copy(io.Discard, r.Body)
		}
		stopped <- kind
	}))
	t.Cleanup(slow.Close)
	address := strings.TrimPrefix(slow.URL, "http://")
	s := start(t, options{directive: rolesByMail, site: "reverse_proxy /api/slow/* " + address + "\nreverse_proxy %s {\n" + freshConnections + "\n}"})
	s.as("alice")
	insecure := &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com"}
	one := caddytest.CreateTestingTransport()
	one.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	one.ForceAttemptHTTP2 = false
	two := caddytest.CreateTestingTransport()
	two.ForceAttemptHTTP2 = true
	three := &http3.Transport{TLSClientConfig: insecure, Dial: func(ctx context.Context, _ string, t *tls.Config, c *quic.Config) (*quic.Conn, error) {
		return quic.DialAddrEarly(ctx, "127.0.0.1:9443", t, c)
	}}
	t.Cleanup(func() { _ = three.Close() })
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": one, "HTTP/2.0": two, "HTTP/3.0": three} {
		for _, kind := range []string{"stream", "silent", "upload"} {
			t.Run(proto+" "+kind, func(t *testing.T) {
				b := s.as("bob")
				method, body := http.MethodGet, io.Reader(nil)
				if kind == "upload" {
					sending, writer := io.Pipe()
					go func() { // Go's client notices a broken connection when it writes
						for _, err := writer.Write([]byte("x")); err == nil; _, err = writer.Write([]byte("x")) {
							time.Sleep(20 * time.Millisecond)
						}
					}()
					method, body = http.MethodPost, sending
				}
				r, err := http.NewRequestWithContext(t.Context(), method, public+"/api/slow/"+kind, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Cookie", ticketName+"="+b.ticket())
				r.Header.Set("Origin", public)
				ended := make(chan string, 1)
				go func() {
					answer, err := transport.RoundTrip(r)
					if err != nil {
						ended <- proto
						return
					}
					_, err = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
					if err == nil && answer.StatusCode == http.StatusOK {
						t.Error("the answer came to a proper end, want it cut off")
					}
					ended <- answer.Proto
				}()
				<-arrived
				b.fetch("POST /api/logout", "Origin", public)
				late := time.After(5 * time.Second)
				select {
				case got := <-ended:
					if got != proto {
						t.Errorf("the answer came over %s, want %s", got, proto)
					}
				case <-late:
					t.Fatal("the client still waits 5 s after the session ended")
				}
				select {
				case <-stopped:
				case <-late:
					t.Error("the request to RomM is still open 5 s after the session ended")
				}
			})
		}
	}
}
