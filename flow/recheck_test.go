// Tests of the re-check.

package flow

import (
	"net/http"
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
		"403 for the token":                   {fault(authelia.Fault{Status: http.StatusForbidden}), ErrTokensEnded, nil},
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

func fault(f authelia.Fault) func(*authelia.Server) {
	return func(op *authelia.Server) {
		op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointUserinfo, f) })
	}
}

func userinfo(edit authelia.Edit) func(*authelia.Server) {
	return func(op *authelia.Server) { op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = sent(edit) }) }
}

// A claim that userinfo had at sign-in is userinfo's to take away, whatever the
// ID token still says. A claim that only the ID token ever had keeps the value of
// the latest ID token that has it.
func TestRecheckFollowsTheSourceOfAClaim(t *testing.T) {
	t.Parallel()
	all := []string{"email", "email_verified", "preferred_username", "name", "groups"}
	null := func(names ...string) authelia.Edit {
		return func(object map[string]any) {
			for _, name := range names {
				object[name] = nil
			}
		}
	}
	for name, row := range map[string]struct {
		atSignIn, later   authelia.Edit // of userinfo
		idTokenLater      authelia.Edit // of the refreshed ID token; nil: there is none
		want              error
		name, email, role string
	}{
		"groups and name left out":                {authelia.Without(), authelia.Without("groups", "name"), nil, nil, "", "Alice@example.test", ""},
		"groups and name null":                    {authelia.Without(), null("groups", "name"), nil, nil, "", "Alice@example.test", ""},
		"address left out":                        {authelia.Without(), authelia.Without("email"), nil, ErrEmailMissing, "", "", ""},
		"address null":                            {authelia.Without(), null("email"), nil, ErrEmailMissing, "", "", ""},
		"address no longer verified":              {authelia.Without(), authelia.Set("email_verified", false), nil, ErrEmailUnverified, "", "", ""},
		"email_verified left out":                 {authelia.Without(), authelia.Without("email_verified"), nil, ErrEmailUnverified, "", "", ""},
		"user name left out":                      {authelia.Without(), authelia.Without("preferred_username"), nil, ErrAccountGone, "", "", ""},
		"user name null":                          {authelia.Without(), null("preferred_username"), nil, ErrAccountGone, "", "", ""},
		"left out, with a new ID token":           {authelia.Without(), authelia.Without("groups", "name"), authelia.Without(), nil, "", "Alice@example.test", ""},
		"never named":                             {authelia.Without(all...), authelia.Without(all...), nil, nil, "Alice Example", "Alice@example.test", "romm-admins"},
		"always null":                             {null(all...), null(all...), nil, nil, "Alice Example", "Alice@example.test", "romm-admins"},
		"never named, the new ID token neither":   {authelia.Without(all...), authelia.Without(all...), authelia.Without(all...), nil, "Alice Example", "Alice@example.test", "romm-admins"},
		"never named, null in the new ID token":   {authelia.Without(all...), authelia.Without(all...), null(all...), nil, "Alice Example", "Alice@example.test", "romm-admins"},
		"never named, changed in the ID token":    {authelia.Without(all...), authelia.Without(all...), edits(authelia.Set("groups", []string{"new"}), authelia.Set("name", "New")), nil, "New", "Alice@example.test", "new"},
		"never named, emptied in the ID token":    {authelia.Without(all...), authelia.Without(all...), authelia.Set("groups", []string{}), nil, "Alice Example", "Alice@example.test", ""},
		"never named, unverified in the ID token": {authelia.Without(all...), authelia.Without(all...), authelia.Set("email_verified", false), ErrEmailUnverified, "", "", ""},
		"never named, denied by userinfo":         {authelia.Without(all...), edits(authelia.Without(all...), authelia.Set("email_verified", false)), nil, ErrEmailUnverified, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, offline, func(s *setup) { s.client.ClaimsPolicy = all })
			userinfo(row.atSignIn)(h.op)
			result := h.signedIn()
			userinfo(row.later)(h.op)
			tokens := result.Tokens
			if row.idTokenLater != nil {
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = row.idTokenLater })
				fresh, err := h.rp.Refresh(t.Context(), tokens, result.Identity)
				if err != nil {
					t.Fatal(err)
				}
				tokens = *fresh
			}
			got, err := h.rp.Recheck(t.Context(), tokens, result.Identity)
			failsAs(t, err, row.want, "")
			if err != nil {
				return
			}
			role := ""
			if len(got.Groups) > 0 {
				role = got.Groups[0]
			}
			if got.Name != row.name || got.Email != row.email || role != row.role || got.Username != "alice" {
				t.Errorf("Recheck = %+v, want alice with name %q, address %q and first group %q", got, row.name, row.email, row.role)
			}
		})
	}
}

// A claim that userinfo begins to name is userinfo's from then on.
func TestRecheckLearnsThatUserinfoNamesAClaim(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.client.ClaimsPolicy = []string{"groups"} })
	userinfo(authelia.Without("groups"))(h.op)
	result := h.signedIn()
	for _, step := range []struct {
		edit authelia.Edit
		want []string
	}{{authelia.Without("groups"), result.Identity.Groups}, {authelia.Set("groups", []string{"b"}), []string{"b"}}, {authelia.Without("groups"), nil}} {
		userinfo(step.edit)(h.op)
		got, err := h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
		if err != nil || !slices.Equal(got.Groups, step.want) {
			t.Fatalf("Recheck = %+v, %v, want the groups %q", got, err, step.want)
		}
		result.Identity = *got
	}
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
