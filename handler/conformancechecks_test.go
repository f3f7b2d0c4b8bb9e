// What the conformance suite expects of certain modules' requests, and the client's
// key.

package handler

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// conformanceKey is the client's key in the plan of FAPI 2.
var conformanceKey = sync.OnceValue(func() *jose.JSONWebKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &jose.JSONWebKey{Key: key, Algorithm: "ES256", Use: "sig", KeyID: "client"}
})

// keyOfClient makes conformanceKey the keys of a relying party.
type keyOfClient struct{}

func (keyOfClient) Algorithm() string { return "ES256" }

func (keyOfClient) SigningKey(context.Context) (jose.SigningKey, error) {
	return jose.SigningKey{Algorithm: jose.ES256, Key: *conformanceKey()}, nil
}

// useKey has the gate authenticate by its key.
func (s *siteWithProvider) useKey() {
	party := s.party
	party.ClientSecret, party.ClientAuth, party.ClientKeys = "", flow.ClientAuthKey, keyOfClient{}
	s.handler.config.RelyingParty = flow.New(party)
}

// conformanceChecks are what the suite expects of certain modules' requests.
var conformanceChecks = map[string]func(*conformanceUser){
	"oidcc-client-test-scope-userinfo-claims": func(u *conformanceUser) {
		asked, _ := u.op.LastRequest(authelia.EndpointAuthorization)
		scopes := strings.Fields(asked.URL.Query().Get("scope"))
		if u.app.as.Username != "alice" || u.app.as.Email != "alice@example.com" || !slices.Contains(scopes, "profile") || !slices.Contains(scopes, "email") {
			u.Errorf("asked for the scopes %q and got %+v, want the claims of profile and email", scopes, u.app.as)
		}
	},
	"oidcc-client-test-client-secret-basic": func(u *conformanceUser) {
		asked, _ := u.op.LastRequest(authelia.EndpointToken)
		if asked.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("romm:s")) || asked.Form.Has("client_secret") {
			u.Errorf("token request with %v and %v, want client_secret_basic alone", asked.Header, asked.Form)
		}
	},
	"oidcc-client-test-userinfo-bearer-header": func(u *conformanceUser) {
		asked, _ := u.op.LastRequest(authelia.EndpointUserinfo)
		if !strings.HasPrefix(asked.Header.Get("Authorization"), "Bearer ") || asked.URL.RawQuery != "" || asked.Body != "" {
			u.Errorf("userinfo request %+v, want the access token in the header alone", asked)
		}
	},
	"oidcc-client-test-nonce-unless-code-flow": func(u *conformanceUser) {
		if asked, _ := u.op.LastRequest(authelia.EndpointAuthorization); asked.URL.Query().Get("nonce") == "" {
			u.Errorf("authorization request %s, want a nonce", asked.URL)
		}
	},
	"oidcc-client-test-discovery-openid-config": func(u *conformanceUser) { u.wantCalls(authelia.EndpointDiscovery, 1) },
	"oidcc-client-test-discovery-jwks-uri-keys": func(u *conformanceUser) { u.wantCalls(authelia.EndpointJWKS, 1) },
	"oidcc-client-test-signing-key-rotation": func(u *conformanceUser) {
		u.op.RotateKeys()
		again := &conformanceUser{visitor: u.visitor.visitor(), plan: u.plan, module: u.module}
		if again.signIn(); !again.signedIn() {
			u.Error("the second sign-in failed, want the new keys read")
		}
		u.wantCalls(authelia.EndpointJWKS, 2)
	},
	"oidcc-client-test-invalid-sig-hs256": func(u *conformanceUser) {
		if !strings.Contains(u.shown, "HS256 is not accepted: have the provider sign with RS256") {
			u.Errorf("the page %s has no hint about HS256", u.shown)
		}
	},
	"oidcc-client-test-mtls-endpoint-aliases": func(u *conformanceUser) { u.wantCalls(authelia.EndpointOther, 0) },
	"oidcc-client-test-distributed-claims":    func(u *conformanceUser) { u.wantCalls(authelia.EndpointOther, 0) },
	"oidcc-client-test-signing-key-rotation-just-before-signing": func(u *conformanceUser) {
		w := u.visitor.visitor()
		back := w.get("/")
		w.atPortal(back)
		callback, err := w.op.SignIn(w.portal, back.Header().Get("Location"), "alice", "alice-password")
		if err != nil {
			u.Fatal(err)
		}
		u.op.RotateKeys()
		location, err := url.Parse(callback)
		if err != nil {
			u.Fatal(err)
		}
		if answer := w.get(location.RequestURI()); answer.Code != http.StatusSeeOther || w.cookies["__Host-romm_oidc"] == "" {
			u.Errorf("got %d %s, want a session", answer.Code, answer.Body)
		}
		u.wantCalls(authelia.EndpointJWKS, 2)
	},
	"fapi2-security-profile-final-client-test-happy-path": func(u *conformanceUser) {
		u.wantCalls(authelia.EndpointPAR, 1)
		for _, endpoint := range []string{authelia.EndpointPAR, authelia.EndpointToken} {
			if asked, _ := u.op.LastRequest(endpoint); !asked.Form.Has("client_assertion") || asked.Form.Has("client_secret") || asked.Header.Get("Authorization") != "" {
				u.Errorf("%s got %v and %v, want private_key_jwt alone", endpoint, asked.Header, asked.Form)
			}
		}
		if asked := u.op.Requests(authelia.EndpointAuthorization)[0].URL; len(asked.Query()) != 2 || !asked.Query().Has("request_uri") {
			u.Errorf("authorization request %s, want client_id and request_uri alone", asked)
		}
	},
}
