// What proves that no other person can sign in to a RomM account.

package romm

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A RomM that fails proves nothing about an account: it may have a password, and
// tokens.
func TestFailingRomMProvesNoProvenance(t *testing.T) {
	t.Parallel()
	user := &account{ID: 7, Username: "ada", Created: "2026-01-02T15:04:05"}
	for name, c := range map[string]struct {
		statuses          []int // of the answers to a password: for Ada, for an unknown name, for Ada
		tokens            string
		password, foreign bool
	}{
		"no password, no tokens":      {[]int{500, 401, 500}, `[]`, false, false},
		"the same before 5.2":         {[]int{500, 403, 500}, `[]`, false, false},
		"every password fails":        {[]int{500, 500, 500}, `[]`, true, false},
		"the first one failed":        {[]int{500, 401, 401}, `[]`, true, false},
		"RomM restarts":               {[]int{500, 502, 500}, `[]`, true, false},
		"no answer":                   {[]int{500, 0, 500}, `[]`, true, false},
		"a password":                  {[]int{401, 401, 401}, `[]`, true, false},
		"a token of the first minute": {[]int{500, 401, 500}, `[{"created_at":"2026-01-02T15:04:06Z"}]`, false, true},
		"a later token":               {[]int{500, 401, 500}, `[{"created_at":"2026-01-02T16:04:06Z"}]`, false, false},
		"a token of an unknown age":   {[]int{500, 401, 500}, `[{"id":1}]`, false, true},
		"a list that cannot be read":  {[]int{500, 401, 500}, `<html>`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var names []string
			e := &entry{oidcClient: oidcClient{App: appOf(t, "5.2.0"), call: func(_ context.Context, call application.Call) (*application.Answer, error) {
				if call.Target == "/api/client-tokens" {
					return &application.Answer{Status: http.StatusOK, Body: []byte(c.tokens)}, nil
				}
				encoded, _ := strings.CutPrefix(call.Header.Get("Authorization"), "Basic ")
				pair, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					t.Error(err)
				}
				username, _, _ := strings.Cut(string(pair), ":")
				names = append(names, username)
				status := c.statuses[len(names)-1]
				if status == 0 {
					return nil, errors.New("no answer")
				}
				return &application.Answer{Status: status}, nil
			}}}
			if got := e.hasPassword(t.Context(), user); got != c.password {
				t.Errorf("a password: %v, want %v", got, c.password)
			}
			if len(names) > 1 && (names[0] != "ada" || names[1] == "ada") {
				t.Errorf("passwords were tried for %q, want ada, a name without an account, ada", names)
			}
			if got := e.hasTokens(t.Context(), signedIn{user: user}, false); got != c.foreign {
				t.Errorf("tokens: %v, want %v", got, c.foreign)
			}
		})
	}
}
