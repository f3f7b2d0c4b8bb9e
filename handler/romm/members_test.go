// RomM's JSON, or that of a proxy that rewrites it, with members of other types.

package romm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// answering returns a caller that answers with a document in which a member has
// this value; a dot leads into an object.
func answering(t *testing.T, document, member string, value any) application.Caller {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal([]byte(document), &root); err != nil {
		t.Fatal(err)
	}
	object, name := root, member
	if outer, inner, ok := strings.Cut(member, "."); ok {
		object, name = root[outer].(map[string]any), inner
	}
	object[name] = value
	body, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context, application.Call) (*application.Answer, error) {
		return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: body}, nil
	}
}

var otherTypes = map[string]any{"number": 7.5, "list": []any{[]any{}}, "object": map[string]any{"a": 1}, "bool": true, "string": "x"}

// What the gate can do without is ignored. An error names what it needs.
func TestMembersOfOtherTypes(t *testing.T) {
	t.Parallel()
	const beat = `{"SYSTEM":{"VERSION":"5.2.0","SHOW_SETUP_WIZARD":false},"OIDC":{"ENABLED":true}}`
	const user = `{"id":1,"username":"alice","email":"a@example.test","role":"admin","enabled":true,"created_at":"2026-01-01T00:00:00"}`
	app := New(Config{Release: NewReleaseCache()})
	heartbeat := func(call application.Caller) error { _, err := app.askHeartbeat(t.Context(), call); return err }
	account := func(call application.Caller) error { _, err := app.whoIs(t.Context(), call, "s"); return err }
	for member, row := range map[string]struct {
		document string
		read     func(application.Caller) error
		needs    string // the type, if the gate needs the member
	}{
		"SYSTEM.VERSION":           {beat, heartbeat, "string"},
		"SYSTEM.SHOW_SETUP_WIZARD": {beat, heartbeat, "bool"},
		"OIDC.ENABLED":             {beat, heartbeat, "bool"},
		"SYSTEM.MORE":              {beat, heartbeat, ""},
		"FILESYSTEM":               {beat, heartbeat, ""},
		"id":                       {user, account, "integer"},
		"username":                 {user, account, "string"},
		"role":                     {user, account, "string"},
		"enabled":                  {user, account, "bool"},
		"created_at":               {user, account, "string"},
		"oauth_scopes":             {user, account, ""},
		"last_login":               {user, account, ""},
		"ui_settings":              {user, account, ""},
	} {
		for kind, value := range otherTypes {
			err := row.read(answering(t, row.document, member, value))
			switch {
			case row.needs == "" && err != nil:
				t.Errorf("%s is a %s: %v, want it ignored", member, kind, err)
			case row.needs != "" && row.needs != kind && (err == nil || !strings.Contains(problem.Of(err).Cause.Error(), member)):
				t.Errorf("%s is a %s: %v, want an error that names it", member, kind, err)
			case row.needs == kind && err != nil:
				t.Errorf("%s is a %s: %v, want it read", member, kind, err)
			}
		}
	}
}

// A session is confirmed by the two members that tell, whatever the others are.
func TestConfirmationNeedsTwoMembers(t *testing.T) {
	t.Parallel()
	app := New(Config{Release: NewReleaseCache()})
	const user = `{"id":1,"created_at":"2026-01-01T00:00:00","email":[],"enabled":"yes","role":7}`
	call := answering(t, user, "username", 7)
	alive := func(ctx context.Context, asked application.Call) (*application.Answer, error) {
		answer, err := call(ctx, asked)
		answer.Header.Set("Set-Cookie", sessionCookie+"=s; Path=/")
		return answer, err
	}
	confirmed, _, err := app.Confirm(t.Context(), alive, application.Session{ID: "s", Account: "1 2026-01-01T00:00:00"})
	if err != nil || !confirmed {
		t.Errorf("Confirm = %t, %v, want true", confirmed, err)
	}
}

// One account that cannot be read is no administrator, and hides none.
func TestUnreadableAccountInTheList(t *testing.T) {
	t.Parallel()
	app := New(Config{Release: NewReleaseCache()})
	for list, want := range map[string]bool{
		`[7,null,{"id":"x"},{"id":2,"username":"b","role":"admin","enabled":true}]`: true,
		`[{"id":"2","username":"b","role":"admin","enabled":true}]`:                 false,
		`[{"id":2,"username":"b","role":"admin","enabled":"true"}]`:                 false,
	} {
		call := func(context.Context, application.Call) (*application.Answer, error) {
			return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(list)}, nil
		}
		if others, err := app.otherAdmins(t.Context(), call, "s", &account{ID: 1}); err != nil || others != want {
			t.Errorf("otherAdmins in %s = %t, %v, want %t", list, others, err, want)
		}
	}
}

// Another user makes their account so large that the list of all is cut. That keeps no
// administrator in the role, provided that another one stands before it in the list.
func TestLargeAccountOfAnotherUserKeepsNoRole(t *testing.T) {
	t.Parallel()
	const root, alice = `{"id":1,"username":"root","role":"admin","enabled":true}`, `{"id":3,"username":"alice","role":"admin","enabled":true}`
	bob := `{"id":2,"username":"bob","role":"user","enabled":true,"ui_settings":{"a":"` + strings.Repeat("a", 1<<10)
	for name, c := range map[string]struct {
		body string
		want bool
		code string
	}{
		"after an administrator": {`[` + root + `,` + alice + `,` + bob, true, ""},
		"after alice only":       {`[` + alice + `,` + bob, false, errAccountTooLarge.Code},
		"after a disabled one":   {`[` + strings.Replace(root, "true", "false", 1) + `,` + bob, false, errAccountTooLarge.Code},
		"first":                  {`[` + bob, false, errAccountTooLarge.Code},
		"no list":                {`<html>`, false, errAccountTooLarge.Code},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := func(context.Context, application.Call) (*application.Answer, error) {
				return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(c.body), Cut: true}, nil
			}
			got, err := appOf(t, "5.2.0").otherAdmins(t.Context(), call, "s", &account{ID: 3, Username: "alice"})
			if got != c.want || (err == nil) != (c.code == "") || err != nil && problem.Of(err).Code != c.code {
				t.Errorf("another administrator: %v, %v, want %v, %q", got, err, c.want, c.code)
			}
		})
	}
}
