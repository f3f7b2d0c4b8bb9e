// One sign-in to RomM: to the right account first, then with the right role.

package romm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// entry is one sign-in of identity.
type entry struct {
	oidcClient
	identity *flow.Identity
	role     string // empty: RomM's own roles are left alone
	link     *Link  // of identity; nil: a new user

	claims op.Claims // of the last walk
	began  time.Time // the sign-in, before RomM could create an account
	sealed bool      // no other person knows the password of the account
}

// enter signs identity in and returns RomM's session. Users choose their e-mail
// address in RomM themselves, and an attacker may have chosen this one. So the
// account is settled before RomM hears of a role.
func (e *entry) enter(ctx context.Context) (application.Session, error) {
	none := application.Session{}
	var err error
	if e.link, err = e.config.Links.of(ctx, e.identity); err != nil {
		return none, storageProblem(err)
	}
	if e.link != nil && e.link.Email == "" {
		return none, errAccountChanged.Because(fmt.Errorf("the RomM account %s has no e-mail address, so RomM cannot find it", e.link))
	}
	byRules := e.role
	at, err := e.walk(ctx)
	if err != nil {
		return none, err
	}
	if at, err = e.seal(ctx, at); err != nil {
		return none, err
	}
	if err := e.settle(ctx, at); err != nil {
		_ = e.SignOut(ctx, e.call, at.session)
		return none, storageProblem(err)
	}
	session, err := e.inNewestRole(ctx, at)
	if errors.Is(err, errLastAdmin) {
		err = errLastAdmin.Because(problem.NoEntryFits(e.identity))
	}
	if err != nil {
		return none, err
	}
	if session != at.session {
		e.report(event.RoleChanged, at, func(changed *event.Event) { changed.Role, changed.FormerRole = e.role, at.user.Role })
	}
	if err := e.config.Links.open(ctx, e.link, func(m *shutMark) bool { return m.Demotion }); err != nil {
		_ = e.SignOut(ctx, e.call, session)
		return none, storageProblem(err)
	}
	return application.Session{ID: session, Account: at.user.key(), Role: byRules}, nil
}

// walk signs in without roles. A new user's name may belong to another linked
// user, or have been another account's a moment ago; then a suffix makes it unique.
func (e *entry) walk(ctx context.Context) (signedIn, error) {
	claims := claimsOf(e.identity, e.link)
	free, err := e.awaitName(ctx, claims.Username)
	if err != nil {
		return signedIn{}, err
	}
	if !free && e.link == nil {
		return e.walkSuffixed(ctx, claims)
	}
	if !free {
		return signedIn{}, errNameRests.Because(fmt.Errorf("the name %q was another RomM account's a moment ago", claims.Username))
	}
	at, err := e.walkAs(ctx, claims)
	if err == nil || ofClock(err) {
		return at, err
	}
	if e.link != nil {
		if answeredWith(err, http.StatusInternalServerError) && errors.Is(err, errRefused) {
			if !e.acceptsTokens(ctx, claims) {
				rejected := errRefused.Because(fmt.Errorf("RomM does not accept what this site signs: %w", err))
				rejected.Away = true // the keys that it knows may be old, for a moment
				return at, rejected
			}
			if at, err = e.signIn(ctx, claims); ofClock(err) { // RomM may have failed for a moment
				return at, err
			}
		}
		return at, changed(err)
	}
	return e.walkRefused(ctx, claims, err)
}

// walkRefused goes on where RomM answered a new user's sign-in with err.
func (e *entry) walkRefused(ctx context.Context, claims op.Claims, err error) (signedIn, error) {
	at := signedIn{}
	if !errors.Is(err, errRefused) {
		return at, err
	}
	all, failed := e.config.Links.List(ctx)
	if failed != nil {
		return at, storageProblem(failed)
	}
	for _, link := range all {
		if strings.EqualFold(link.Username, claims.Username) {
			return e.walkSuffixed(ctx, claims)
		}
	}
	return at, errRefused.Because(fmt.Errorf("RomM probably has an account named %q, with another e-mail address than %q: %w", claims.Username, claims.Email, err))
}

// walkSuffixed is walkAs with a name that no other user has.
func (e *entry) walkSuffixed(ctx context.Context, claims op.Claims) (signedIn, error) {
	name, _ := spelled(e.identity.Username)
	claims.Username = suffixed(name, e.identity)
	free, err := e.awaitName(ctx, claims.Username)
	if err == nil && !free {
		err = errNameRests.Because(fmt.Errorf("the name %q was another RomM account's a moment ago", claims.Username))
	}
	if err != nil {
		return signedIn{}, err
	}
	return e.walkAs(ctx, claims)
}

// walkAs signs in as claims say. The account may have got a name that another one gave
// up during the sign-in: then other nodes may not know of that yet.
func (e *entry) walkAs(ctx context.Context, claims op.Claims) (signedIn, error) {
	e.claims, e.began = claims, e.now()
	at, err := e.signIn(ctx, claims)
	if err != nil || e.link != nil && e.link.ID == at.user.ID {
		return at, err
	}
	for range 2 {
		since, _, err := e.config.Links.rests(ctx, at.user.Username, at.user.key())
		if err == nil && since.IsZero() {
			return at, nil
		}
		if err == nil {
			err = sleep(ctx, min(nameRest-time.Since(since), nameRest)+time.Millisecond)
		}
		var now *account
		if err == nil {
			now, err = e.whoIs(ctx, e.call, at.session)
		}
		if err == nil && now.key() != at.user.key() {
			err = errNameRests.Because(fmt.Errorf("the session of RomM account %s is %s's", at.user.key(), now.key()))
		}
		if err != nil {
			_ = e.SignOut(ctx, e.call, at.session)
			return signedIn{}, storageProblem(err)
		}
	}
	return at, nil
}

// awaitName waits until no other account gave name up a moment ago.
func (e *entry) awaitName(ctx context.Context, name string) (free bool, err error) {
	own := ""
	if e.link != nil {
		own = e.link.Account()
	}
	if free, err = e.config.Links.awaitName(ctx, name, own); err != nil {
		return false, storageProblem(err)
	}
	return free, nil
}

// settle links identity to the account that RomM signed in to, or returns why it
// must not. Afterwards e.link leads to that account, and e.role is that of the
// user's newest claims.
func (e *entry) settle(ctx context.Context, at signedIn) error {
	found := linkTo(at.user, e.identity.Issuer, e.identity.Subject)
	holder, err := e.config.Links.ofUser(ctx, at.user)
	if err != nil {
		return err
	}
	if holder != nil && !holder.sameSubject(&found) {
		return taken(holder, found.Subject)
	}
	switch {
	case e.link != nil && e.link.sameAccount(&found):
		found.Trusted, found.Made, found.Claimed = e.link.Trusted, e.link.Made, e.link.Claimed
	case e.link != nil:
		found.Claimed = e.link.Claimed
		if found.Made, err = e.replaces(ctx, at, &found); err != nil {
			return err
		}
		found.Trusted = e.sealed && found.Made
	case holder != nil: // an earlier first sign-in was interrupted
		found.Trusted, found.Made, found.Claimed = holder.Trusted, holder.Made, holder.Claimed
	default:
		found.Made = e.made(at)
		found.Trusted = e.sealed && found.Made && !e.hasTokens(ctx, at, true)
	}
	if found.Claimed = found.Claimed.by(e.identity, e.role); e.role != "" {
		e.role = found.Claimed.Role
	}
	if e.role == RoleAdmin && at.user.Role != RoleAdmin {
		found.Trusted = found.Trusted || found.Made && !e.hasPassword(ctx, at.user) && !e.hasTokens(ctx, at, e.link == nil)
		if !found.Trusted {
			return e.notTrusted(ctx, found)
		}
		found.Role = RoleAdmin // the link must not say less than RomM may do next
	}
	if err := e.config.Links.pin(ctx, found); err != nil {
		return err
	}
	if e.link == nil || !e.link.sameAccount(&found) {
		e.report(event.AccountLinked, at, func(linked *event.Event) { linked.By = event.ByUser })
	}
	if e.link == nil {
		err = e.config.Links.stopWaiting(ctx, &found)
	}
	e.link = &found
	return err
}

// report reports what the sign-in changed.
func (e *entry) report(name event.Name, at signedIn, say func(*event.Event)) {
	changed := &event.Event{Name: name, User: e.identity.Username, Subject: e.identity.Subject, Account: at.user.key()}
	say(changed)
	e.config.Report(changed)
}

// replaces returns nil if found may replace the account that identity is linked
// to, and whether this sign-in created found: only if RomM no longer has the
// linked account. RomM tells that to administrators only, so that an account
// which this sign-in created is enough for other users.
func (e *entry) replaces(ctx context.Context, at signedIn, found *Link) (made bool, err error) {
	made = e.made(at) && !e.hasPassword(ctx, at.user) && !e.hasTokens(ctx, at, true)
	gone, known := found.ID == e.link.ID, true
	if !gone {
		if gone, known, err = e.gone(ctx, at); err != nil {
			return false, err
		}
	}
	if known && !gone || !known && !made {
		return false, errAccountChanged.Because(fmt.Errorf("linked to the RomM account %s, RomM found %s", e.link, found))
	}
	if !known { // tokens of the account that is left behind would have no owner to sign in
		err = e.config.Links.mark(ctx, shutMark{Link: *e.link})
	}
	return made, err
}

// gone reports whether RomM no longer has the account that identity is linked to.
// known is false if RomM does not tell this user.
func (e *entry) gone(ctx context.Context, at signedIn) (gone, known bool, err error) {
	target := "/api/users/" + strconv.Itoa(e.link.ID)
	answer, err := e.call(ctx, application.Call{
		Method: http.MethodGet, Target: target, Cookie: sessionCookie + "=" + at.session, Limit: accountLimit,
	})
	switch {
	case err != nil:
		return false, false, errUnreachable.Because(err)
	case answer.Status == http.StatusNotFound:
		return true, true, nil
	case answer.Status == http.StatusForbidden:
		return false, false, nil
	}
	user, err := accountIn("GET "+target, answer)
	if err != nil {
		return false, false, err
	}
	now := linkTo(user, e.link.Issuer, e.link.Subject)
	return !now.sameAccount(e.link), true, nil
}

// notTrusted returns errAccountNotTrusted, after noting what the operator can
// trust. A link that exists is what they trust.
func (e *entry) notTrusted(ctx context.Context, found Link) error {
	if e.link == nil {
		if err := e.config.Links.wait(ctx, found); err != nil {
			return err
		}
	}
	return errAccountNotTrusted.Because(fmt.Errorf("the RomM account %s existed before subject %s was linked to it: caddy romm-oidc links trust %s", &found, found.Subject, found.Username))
}
