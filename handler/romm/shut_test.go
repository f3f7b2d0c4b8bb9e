// Tokens and passwords of users who lost their access.

package romm

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// RomM's tokens and passwords do not outlive their owner's access: they are not
// recognized once the provider or the policy no longer lets the owner in, until
// the owner signs in again.
func TestShutAccount(t *testing.T) {
	t.Parallel()
	const made = `"created_at":"2026-01-02T15:04:05Z"`
	ada := Link{Issuer: testIssuer, Subject: "ada-1", ID: 7, Username: "ada", Email: "ada@example.com", Created: "2026-01-02T15:04:05"}
	for name, c := range map[string]struct {
		then func(ctx context.Context, app *App, call application.Caller)
		me   string // what RomM says about the token's owner; empty: Ada
		want application.Recognition
	}{
		"shut":                 {want: application.Unrecognized},
		"another user's token": {me: `{"id":8,"username":"bob"}`, want: application.Recognized},
		"recreated account":    {me: `{"id":7,"username":"new","created_at":"2026-02-02T15:04:05Z"}`, want: application.Recognized},
		"signed in again":      {then: func(ctx context.Context, app *App, _ application.Caller) { _ = app.Open(ctx, *identityOf("ada-1", "")) }, want: application.Recognized},
		"sign-in under way":    {then: func(ctx context.Context, app *App, _ application.Caller) { _ = app.config.Links.pin(ctx, ada) }, want: application.Unrecognized},
		"forgotten":            {then: func(ctx context.Context, app *App, _ application.Caller) { _, _ = app.config.Links.Forget(ctx, "ada") }, want: application.Unrecognized},
		"profile changed": {then: func(ctx context.Context, app *App, call application.Caller) {
			app.AfterResponse(ctx, application.Forwarded{Request: httptest.NewRequest(http.MethodPut, "/api/users/7", nil), Path: "/api/users/7", Client: fixedCaller(call)}, application.Response{Status: http.StatusOK, Body: []byte(`{"id":7,"username":"ada2",` + made + `}`)})
		}, want: application.Unrecognized},
		"given to another subject": {then: func(ctx context.Context, app *App, _ application.Caller) {
			_, _, _ = app.config.Links.Move(ctx, "ada", "ada-2")
		}, want: application.Unrecognized},
		"shut twice": {then: func(ctx context.Context, app *App, _ application.Caller) { _ = app.Shut(ctx, *identityOf("ada-1", "")) }, want: application.Unrecognized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := appOf(t, "5.2.0")
			call := func(context.Context, application.Call) (*application.Answer, error) {
				me := c.me
				if me == "" {
					me = `{"id":7,"username":"ada","email":"ada@new.example",` + made + `}`
				}
				return &application.Answer{Status: http.StatusOK, Body: []byte(me)}, nil
			}
			if err := app.config.Links.pin(t.Context(), ada); err != nil {
				t.Fatal(err)
			}
			if got, _, err := app.Recognize(t.Context(), call, someToken); c.me == "" && (got != application.Recognized || err != nil) {
				t.Fatalf("Recognize before Shut = %v, %v, want Recognized", got, err)
			}
			if err := app.Shut(t.Context(), *identityOf("ada-1", "ada@example.com")); err != nil {
				t.Fatal(err)
			}
			if c.then != nil {
				c.then(t.Context(), app, call)
			}
			if got, _, err := app.Recognize(t.Context(), call, someToken); got != c.want || err != nil {
				t.Errorf("Recognize = %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// A user who lost the role loses the tokens, too.
func TestNoRoleShuts(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	app := New(Config{Release: NewReleaseCache(), Links: links, Roles: &Roles{Admin: []string{"bob@example.com"}}})
	_, err := app.SignIn(t.Context(), func(context.Context, application.Call) (*application.Answer, error) {
		return &application.Answer{Status: http.StatusOK, Body: []byte(`{"SYSTEM":{"VERSION":"5.2.0"},"OIDC":{"ENABLED":true}}`)}, nil
	}, *identityOf("ada-1", "ada@example.com"))
	shut, _ := links.isShut(t.Context(), &Link{ID: 7})
	if problem, ok := errors.AsType[*problem.Problem](err); !ok || problem.Code != "no_role" || !shut {
		t.Errorf("SignIn = %v with the account shut: %v, want no_role and a shut account", err, shut)
	}
}

// A user with an account of a former RomM database shuts only that account, and
// not the one that has the same ID now.
func TestShutSparesTheNewOwner(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	carol := Link{Issuer: testIssuer, Subject: "carol-1", ID: 8, Username: "carol", Email: "carol@example.com", Created: "2026-02-02T15:04:05"}
	bob := Link{Issuer: testIssuer, Subject: "bob-1", ID: 8, Username: "bob", Email: "bob@example.com", Created: "2026-01-02T15:04:05"}
	for _, link := range []Link{bob, carol} {
		if err := links.pin(t.Context(), link); err != nil {
			t.Fatal(err)
		}
	}
	if err := New(Config{Links: links}).Shut(t.Context(), *identityOf("bob-1", "")); err != nil {
		t.Fatal(err)
	}
	if shut, err := links.isShut(t.Context(), &carol); err != nil || shut {
		t.Errorf("carol's account is shut: %v, %v, want it open", shut, err)
	}
}

// fixedCaller is a client whose calls are always the same.
type fixedCaller application.Caller

func (c fixedCaller) Caller() application.Caller { return application.Caller(c) }

// RomM up to 5.1.0 does not tell an unknown token from one with few permissions, so that
// a token passes if RomM does not answer. It may be that of a user who is out: while an
// account is shut, it does not pass.
func TestTokenOfAShutAccountWhileAnOldRomMIsBusy(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"4.8.1", "5.1.0"} {
		for name, answer := range map[string]*application.Answer{"no response": nil, "crashed": {Status: http.StatusInternalServerError}, "away": {Status: http.StatusBadGateway}} {
			t.Run(release+", "+name, func(t *testing.T) {
				t.Parallel()
				app := appOf(t, release)
				call := func(context.Context, application.Call) (*application.Answer, error) {
					if answer == nil {
						return nil, errors.New("away")
					}
					return answer, nil
				}
				if got, _, err := app.Recognize(t.Context(), call, someToken); got != application.Undecided || err != nil {
					t.Errorf("while no account is shut: %v, %v, want Undecided", got, err)
				}
				if err := app.config.Links.mark(t.Context(), shutMark{Link: Link{ID: 7}}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // RomM took all the time that there was
				if got, _, err := app.Recognize(ctx, call, someToken); got != application.Undecided || problem.Of(err).Code != errBusy.Code {
					t.Errorf("while one is: %v, %v, want %s", got, err, errBusy.Code)
				}
			})
		}
	}
}
