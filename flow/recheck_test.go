// Tests of the re-check.

package flow

import (
	"slices"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Changes at Authelia during a session, and what a re-check returns.
func TestRecheck(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*authelia.Server)
		want   error
		groups []string
	}{
		"nothing changed":                     {func(*authelia.Server) {}, nil, []string{"romm-admins", "romm users"}},
		"groups changed":                      {func(op *authelia.Server) { op.SetGroups("alice", "other") }, nil, []string{"other"}},
		"groups removed":                      {func(op *authelia.Server) { op.SetGroups("alice") }, nil, nil},
		"account disabled":                    {func(op *authelia.Server) { op.DisableUser("alice") }, ErrAccountGone, nil},
		"account deleted":                     {func(op *authelia.Server) { op.DeleteUser("alice") }, ErrAccountGone, nil},
		"address removed":                     {func(op *authelia.Server) { op.SetEmail("alice", "") }, ErrEmailMissing, nil},
		"tokens revoked":                      {func(op *authelia.Server) { op.RevokeTokens("alice") }, ErrTokensEnded, nil},
		"tokens expired":                      {func(op *authelia.Server) { op.ExpireAccessTokens() }, ErrTokensEnded, nil},
		"database rebuilt":                    {func(op *authelia.Server) { op.ResetDatabase() }, ErrTokensEnded, nil},
		"provider down":                       {func(op *authelia.Server) { op.Down() }, ErrProviderUnavailable, nil},
		"503":                                 {func(op *authelia.Server) { op.Unavailable() }, ErrProviderUnavailable, nil},
		"userinfo of another user":            {userinfo(authelia.Set("sub", "another")), ErrUserinfoInvalid, nil},
		"user name null":                      {userinfo(authelia.Set("preferred_username", nil)), ErrAccountGone, nil},
		"user name empty":                     {userinfo(authelia.Set("preferred_username", "")), ErrUsernameMissing, nil},
		"user name gone, sub of another user": {userinfo(edits(authelia.Without("preferred_username"), authelia.Set("sub", "x"))), ErrUserinfoInvalid, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			row.change(h.op)
			got, err := h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, row.want, "")
			if err != nil {
				if got != nil {
					t.Errorf("Recheck = %+v and an error, want only the error", got)
				}
				return
			}
			want := result.Identity
			if got.Issuer != want.Issuer || got.Subject != want.Subject || got.Username != want.Username ||
				got.Email != want.Email || got.Name != want.Name || got.AuthTime != want.AuthTime || !slices.Equal(got.Groups, row.groups) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			h.calls(authelia.EndpointToken, 1)
			h.calls(authelia.EndpointUserinfo, 2)
		})
	}
}

func userinfo(edit authelia.Edit) func(*authelia.Server) {
	return func(op *authelia.Server) { op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(edit) }) }
}

// A claims policy puts the user's claims into the ID token. Later they prove
// nothing, but supplement claims that userinfo never has.
func TestRecheckOfHydratedTokens(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) {
		s.client.ClaimsPolicy = []string{"email", "email_verified", "preferred_username", "name", "groups"}
	})
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	userinfo(authelia.Without("groups", "name"))(h.op)
	got, err := h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || got.Name != "Alice Example" || !slices.Equal(got.Groups, result.Identity.Groups) {
		t.Errorf("Recheck = %+v, %v, want the name from the ID token", got, err)
	}
	h.op.Behave()
	h.op.DisableUser("alice")
	_, err = h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrAccountGone, "")
}

// After the issuer has changed in the configuration, sessions of the old issuer
// remain. The new issuer must not see their tokens.
func TestRecheckShowsNoTokenToAnother(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.op.ForgetRequests()
	for _, identity := range []Identity{{Issuer: "https://old.example", Subject: result.Identity.Subject}, {Issuer: testIssuer}, {}} {
		_, err := h.rp.Recheck(t.Context(), result.Tokens, identity)
		failsAs(t, err, ErrUserinfoInvalid, "another issuer")
	}
	h.calls(authelia.EndpointUserinfo, 0)
}

// A stored value that is not an ID token has no claims.
func TestVerifiedClaims(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", ".", "..", "a", "a.b.c", "a.!.c", "a." + encode([]byte("[]")) + ".c", "a." + encode([]byte("null")) + ".c"} {
		if got := verifiedClaims(raw); len(got) != 0 {
			t.Errorf("verifiedClaims(%q) = %v, want none", raw, got)
		}
	}
	if got := verifiedClaims("a." + encode([]byte(`{"name":"A"}`)) + ".c"); got.text("name") != "A" {
		t.Errorf("verifiedClaims = %v, want the name A", got)
	}
}

// A provider has the username claim in the ID token only. Its absence from
// userinfo does not mean that the account is gone.
func TestRecheckOfAnUnnamedUser(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.client.ClaimsPolicy = []string{"preferred_username"} })
	userinfo(authelia.Without("preferred_username"))(h.op)
	result, err := h.signIn()
	if err != nil || result.Identity.Username != "alice" {
		t.Fatalf("sign-in = %+v, %v, want alice", result, err)
	}
	got, err := h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || got.Username != "alice" || !slices.Contains(got.FromIDToken, "username") {
		t.Errorf("Recheck = %+v, %v, want alice, named by the ID token", got, err)
	}
	userinfo(authelia.Edits(authelia.Without("preferred_username"), authelia.Set("groups", []string{"other"})))(h.op)
	got, err = h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || !slices.Equal(got.Groups, []string{"other"}) {
		t.Errorf("Recheck = %+v, %v, want the group other", got, err)
	}
}
