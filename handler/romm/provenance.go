// Provenance: whether the gate's own sign-in created a RomM account.

package romm

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// madeSlack is how much RomM's clock and its database's may differ. RomM's times
// are whole seconds, so an account of that age may have existed before; then its
// password and its tokens tell.
const madeSlack = 5 * time.Second

// made reports whether this sign-in created the account of at, as far as its name
// and its age tell.
func (e *entry) made(at signedIn) bool {
	if at.user.Username != e.claims.Username {
		return false
	}
	created, err := parseTime(at.user.Created)
	if err != nil {
		return false
	}
	now, err := parseTime(at.user.LastLogin.value) // by RomM's clock, a moment ago
	if err != nil {
		return false
	}
	age := now.Sub(created)
	return age >= -madeSlack && age <= e.now().Sub(e.began)+madeSlack
}

// parseTime reads a time as RomM reports it. Releases differ in what follows the
// seconds.
func parseTime(s string) (time.Time, error) {
	const layout = "2006-01-02T15:04:05"
	return time.Parse(layout, s[:min(len(s), len(layout))])
}

// earlyTokens is how soon after the account a client token must have been made to
// be one from before the sign-in.
const earlyTokens = time.Minute

// hasPassword reports whether user can sign in with a password that another person
// may know. RomM up to 5.2 answers 500 to every password for an account without one,
// and has no way to create such an account but a sign-in through OpenID Connect. A
// RomM that fails answers 500, too. So it must refuse a password for a name without
// an account in between. Later releases refuse all of them.
func (e *entry) hasPassword(ctx context.Context, user *account) bool {
	if e.sealed {
		return false
	}
	unknown := "gate-" + strings.ToLower(rand.Text())
	return e.statusOfPassword(ctx, e.call, user.Username) != http.StatusInternalServerError ||
		!isRefusal(e.statusOfPassword(ctx, e.call, unknown)) ||
		e.statusOfPassword(ctx, e.call, user.Username) != http.StatusInternalServerError
}

// seal gives the account of at, if this sign-in created it, a random password, and
// forgets it: RomM after 5.2 does not tell whether it has one. That ends the
// account's sessions, so seal returns a new one. An account that RomM does not let it
// seal counts as one with a password, and so does one that RomM's tokens for the
// former password were issued for.
func (e *entry) seal(ctx context.Context, at signedIn) (signedIn, error) {
	found := linkTo(at.user, e.identity.Issuer, e.identity.Subject)
	isNew := e.link == nil && e.role != "" || e.link != nil && !e.link.sameAccount(&found)
	if !isNew || !e.made(at) || !e.isWithin(v521, version{}) || !e.hasPassword(ctx, at.user) {
		return at, nil
	}
	answer, err := e.write(ctx, e.call, application.Call{
		Method: http.MethodPut, Target: "/api/users/" + strconv.Itoa(at.user.ID), Cookie: sessionCookie + "=" + at.session,
		Form: url.Values{"password": {rand.Text()}}, Limit: accountLimit,
	})
	if err != nil {
		return signedIn{}, errUnreachable.Because(err) // the password may be another one by now
	}
	if answer.Status/100 != 2 {
		return at, nil
	}
	again, err := e.signIn(ctx, e.claims)
	if err != nil {
		return signedIn{}, err
	}
	if again.user.key() != at.user.key() {
		_ = e.SignOut(ctx, e.call, again.session)
		return signedIn{}, errNameRests.Because(fmt.Errorf("RomM signed in to account %s, and then to %s", at.user.key(), again.user.key()))
	}
	e.sealed = !e.config.Links.anyIssuedTo(ctx, at.user.key())
	return again, nil
}

// clientTokenMade is the part of a client token that the gate reads.
type clientTokenMade struct {
	Created string `json:"created_at"`
}

// hasTokens reports whether the account of at has client tokens that its user did
// not make: any at the first sign-in to it, and later those that are as old as the
// account, or of an unknown age. Releases before 4.8 have none.
func (e *entry) hasTokens(ctx context.Context, at signedIn, first bool) bool {
	answer, err := e.call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/client-tokens", Cookie: sessionCookie + "=" + at.session, Limit: accountLimit,
	})
	if err != nil || answer.Status == http.StatusNotFound {
		return err != nil
	}
	var tokens []optional[clientTokenMade] // the age of one that cannot be read is unknown
	if decode("GET /api/client-tokens", answer, &tokens) != nil {
		return true
	}
	account, err := parseTime(at.user.Created)
	if err != nil || first {
		return len(tokens) > 0
	}
	return slices.ContainsFunc(tokens, func(token optional[clientTokenMade]) bool {
		created, err := parseTime(token.value.Created)
		return err != nil || created.Sub(account) < earlyTokens
	})
}
