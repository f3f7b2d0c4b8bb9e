package flow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// RFC 7009 on the wire, by a client that posts its secret at the token
// endpoint too: Authelia wants Basic here from every client.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setup){
		"basic":        func(*setup) {},
		"post":         func(s *setup) { s.config.ClientAuth, s.client.AuthMethod = ClientAuthPost, "client_secret_post" },
		"with refresh": offline,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change)
			old := w.signedIn()
			if err := w.rp.Revoke(t.Context(), old.Tokens, old.Identity); err != nil {
				t.Fatal(err)
			}
			want := "token=" + old.Tokens.Access + "&token_type_hint=access_token"
			if old.Tokens.Refresh != "" {
				want = "token=" + old.Tokens.Refresh + "&token_type_hint=refresh_token"
			}
			if got := w.last(authelia.EndpointRevocation).Form.Encode(); got != want {
				t.Errorf("sent %s", got)
			}
			_, err := w.rp.Recheck(t.Context(), old.Tokens, old.Identity)
			failsAs(t, err, ErrTokensEnded, "")
			w.calls(authelia.EndpointRevocation, 1)
		})
	}
}

// A provider that names the methods of its revocation endpoint gets one of them.
func TestRevocationAuth(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		methods any
		posts   bool
	}{
		"default": {nil, false}, "both": {[]string{"client_secret_post", "client_secret_basic"}, false},
		"post": {[]string{"client_secret_post"}, true}, "another": {[]string{"private_key_jwt"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = authelia.Set("revocation_endpoint_auth_methods_supported", row.methods)
			})
			old := w.signedIn()
			_ = w.rp.Revoke(t.Context(), old.Tokens, old.Identity)
			request := w.last(authelia.EndpointRevocation)
			if request.Form.Has("client_secret") != row.posts || (request.Header.Get("Authorization") == "") != row.posts {
				t.Errorf("sent %v %v", request.Form, request.Header)
			}
		})
	}
}

// Nobody is shown a token that is not theirs, and a provider without the
// endpoint is asked nothing.
func TestRevokeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.signedIn()
	if err := w.rp.Revoke(t.Context(), old.Tokens, Identity{Issuer: "https://old.example"}); err != nil {
		t.Error(err)
	}
	w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("revocation_endpoint") })
	w.Advance(discoveryAge)
	w.rp.Answers(t.Context()) // reads them anew
	if err := w.rp.Revoke(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Error(err)
	}
	w.calls(authelia.EndpointRevocation, 0)
	w.op.Behave()
	w.Advance(discoveryAge)
	w.rp.Answers(t.Context())
	w.op.Down()
	if err := w.rp.Revoke(t.Context(), old.Tokens, old.Identity); err == nil {
		t.Error("nobody was told, and no error")
	}
}

// Metadata that are still good for a sign-in do not say that the provider is there.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if !w.rp.Answers(t.Context()) || !w.rp.Answers(t.Context()) {
			t.Error("it does not answer")
		}
		w.calls(authelia.EndpointDiscovery, 1)
		w.op.Down()
		w.Advance(answersFor)
		if w.rp.Answers(t.Context()) || w.rp.Answers(t.Context()) {
			t.Error("it answers while it is down")
		}
		w.calls(authelia.EndpointDiscovery, 2) // a failure holds for a moment too
		if _, err := w.rp.Provider(t.Context()); err != nil {
			t.Errorf("its metadata are lost: %v", err)
		}
		w.op.Up()
		w.Advance(2 * discoveryPause)
		if !w.rp.Answers(t.Context()) {
			t.Error("it does not answer though it is back")
		}
		w.Advance(answersFor)
		w.op.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if w.rp.Answers(ctx) || !errors.Is(ctx.Err(), context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("hanging: waited %s", time.Since(began))
		}
		w.op.Up()
		synctest.Wait()
	})
}
