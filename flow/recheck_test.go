package flow

import (
	"slices"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// What Authelia says of a live session, as things change there.
func TestRecheck(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*authelia.Server)
		want   error
		groups []string
	}{
		"nothing":            {func(*authelia.Server) {}, nil, []string{"romm-admins", "romm users"}},
		"groups changed":     {func(op *authelia.Server) { op.SetGroups("alice", "other") }, nil, []string{"other"}},
		"groups removed":     {func(op *authelia.Server) { op.SetGroups("alice") }, nil, nil},
		"disabled":           {func(op *authelia.Server) { op.DisableUser("alice") }, ErrAccountGone, nil},
		"deleted":            {func(op *authelia.Server) { op.DeleteUser("alice") }, ErrAccountGone, nil},
		"address removed":    {func(op *authelia.Server) { op.SetEmail("alice", "") }, ErrEmailMissing, nil},
		"tokens revoked":     {func(op *authelia.Server) { op.RevokeTokens("alice") }, ErrTokensEnded, nil},
		"tokens expired":     {func(op *authelia.Server) { op.ExpireAccessTokens() }, ErrTokensEnded, nil},
		"database rebuilt":   {func(op *authelia.Server) { op.ResetDatabase() }, ErrTokensEnded, nil},
		"down":               {func(op *authelia.Server) { op.Down() }, ErrProviderUnavailable, nil},
		"503":                {func(op *authelia.Server) { op.Unavailable() }, ErrProviderUnavailable, nil},
		"somebody else's":    {userinfo(authelia.Set("sub", "another")), ErrUserinfoInvalid, nil},
		"user name null":     {userinfo(authelia.Set("preferred_username", nil)), ErrAccountGone, nil},
		"user name empty":    {userinfo(authelia.Set("preferred_username", "")), ErrUsernameMissing, nil},
		"gone, but not ours": {userinfo(edits(authelia.Without("preferred_username"), authelia.Set("sub", "x"))), ErrUserinfoInvalid, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			result, err := w.signIn()
			if err != nil {
				t.Fatal(err)
			}
			row.change(w.op)
			got, err := w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, row.want, "")
			if err != nil {
				if got != nil {
					t.Errorf("got %+v and an error", got)
				}
				return
			}
			want := result.Identity
			if got.Issuer != want.Issuer || got.Subject != want.Subject || got.Username != want.Username ||
				got.Email != want.Email || got.Name != want.Name || got.AuthTime != want.AuthTime || !slices.Equal(got.Groups, row.groups) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			w.calls(authelia.EndpointToken, 1)
			w.calls(authelia.EndpointUserinfo, 2)
		})
	}
}

func userinfo(edit authelia.Edit) func(*authelia.Server) {
	return func(op *authelia.Server) { op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(edit) }) }
}

// A claims policy puts the user's claims into the ID token, as of the sign-in:
// they prove nothing later, but fill in what userinfo never said.
func TestRecheckOfHydratedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) {
		s.client.ClaimsPolicy = []string{"email", "email_verified", "preferred_username", "name", "groups"}
	})
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	userinfo(authelia.Without("groups", "name"))(w.op)
	got, err := w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || got.Name != "Alice Example" || !slices.Equal(got.Groups, result.Identity.Groups) {
		t.Errorf("got %+v, %v", got, err)
	}
	w.op.Behave()
	w.op.DisableUser("alice")
	_, err = w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrAccountGone, "")
}

// After the issuer was changed in the configuration, sessions of the old one
// are still there. Their tokens are not for the new one to see.
func TestRecheckShowsNoTokenToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	w.op.ForgetRequests()
	for _, identity := range []Identity{{Issuer: "https://old.example", Subject: result.Identity.Subject}, {Issuer: testIssuer}, {}} {
		_, err := w.rp.Recheck(t.Context(), result.Tokens, identity)
		failsAs(t, err, ErrUserinfoInvalid, "another issuer")
	}
	w.calls(authelia.EndpointUserinfo, 0)
}

// What is no ID token any more says nothing.
func TestHeldClaims(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", ".", "..", "a", "a.b.c", "a.!.c", "a." + encode([]byte("[]")) + ".c", "a." + encode([]byte("null")) + ".c"} {
		if got := verifiedClaims(raw); len(got) != 0 {
			t.Errorf("%q: got %v", raw, got)
		}
	}
	if got := verifiedClaims("a." + encode([]byte(`{"name":"A"}`)) + ".c"); got.text("name") != "A" {
		t.Errorf("got %v", got)
	}
}

// A provider names its users in the ID token only. That its userinfo does not
// name alice was so from the beginning, and does not mean that she is gone.
func TestRecheckOfAnUnnamedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *setup) { s.client.ClaimsPolicy = []string{"preferred_username"} })
	userinfo(authelia.Without("preferred_username"))(w.op)
	result, err := w.signIn()
	if err != nil || result.Identity.Username != "alice" {
		t.Fatal(result, err)
	}
	got, err := w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || got.Username != "alice" || !got.Unnamed {
		t.Errorf("got %+v, %v", got, err)
	}
	userinfo(authelia.Edits(authelia.Without("preferred_username"), authelia.Set("groups", []string{"other"})))(w.op)
	got, err = w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	if err != nil || !slices.Equal(got.Groups, []string{"other"}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
