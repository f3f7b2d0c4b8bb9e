// Requests that change accounts in RomM, and what they change for links and sessions.

package romm

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// ChangesAccounts reports whether a request with method to path can change the
// accounts of RomM. It does not look for the account in path: RomM reads numbers
// there in more spellings ("2.0", "+2") than the gate should know.
func (a *App) ChangesAccounts(method, path string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return path == "/api/users" || strings.HasPrefix(path, "/api/users/")
}

// AfterResponse updates the link of the account that a request changed in RomM.
// RomM's response names the account; if it names none, the change may be of the
// caller's own. If the update fails, the next sign-in updates the link, provided
// that RomM still finds the account by it. AfterResponse returns false only if RomM
// refused the change, or if the response shows the account as its link has it.
func (a *App) AfterResponse(ctx context.Context, forwarded application.Forwarded, response application.Response) bool {
	if response.Status != 0 && response.Status/100 != 2 && response.Status < http.StatusInternalServerError {
		return false
	}
	ctx = context.WithoutCancel(ctx)
	changed := new(account)
	if response.Status/100 == 2 {
		changed = a.changedAccount(ctx, response.Body)
	}
	if !changed.valid() {
		ctx, cancel := context.WithTimeout(ctx, lockTimeout)
		defer cancel()
		if me, err := a.whoIs(ctx, forwarded.Client.Caller(), forwarded.Session); err == nil {
			a.noteAnswer(ctx, me)
			if response.Status == 0 || response.Status >= http.StatusBadGateway {
				a.config.Links.noteUnsettled(ctx, me)
			}
			_ = a.config.Links.refresh(ctx, me)
		}
		return true
	}
	link := a.noteAnswer(ctx, changed)
	if link == nil {
		_ = a.config.Links.refreshWaiting(ctx, changed)
		return true
	}
	if now := linkTo(changed, link.Issuer, link.Subject); link.Username == now.Username && link.Email == now.Email && link.Role == now.Role {
		return false
	}
	// Of two changes at once, the response that comes last may be the first one's.
	a.config.Links.latest.do(changed, func(user *account) {
		ctx, cancel := context.WithTimeout(ctx, lockTimeout)
		defer cancel()
		_ = a.config.Links.refresh(ctx, a.latest(ctx, forwarded, user))
	})
	return true
}

// changedAccount returns the account in body, the response to a change. The account is
// not valid if body names none. Users choose how large their account is, and changing
// their own name signs them out, so that the gate cannot ask RomM again. If body is cut
// off, its first members say which account it is, and the account's link says when RomM
// created it.
func (a *App) changedAccount(ctx context.Context, body []byte) *account {
	whole, first := new(account), new(account)
	if json.Unmarshal(body, whole) == nil {
		return whole
	}
	if len(body) < application.ResponseLimit || json.Unmarshal(firstMembers(body), first) != nil || first.Role == "" {
		return new(account)
	}
	link, err := a.config.Links.ofAccount(ctx, first.ID)
	if err != nil || link == nil {
		return new(account)
	}
	first.Created = link.Created
	return first
}

// noteAnswer notes the name that RomM answered for user. It returns user's link, nil
// if there is none.
func (a *App) noteAnswer(ctx context.Context, user *account) *Link {
	link, err := a.config.Links.ofUser(ctx, user)
	if err != nil {
		link = nil
	}
	a.config.Links.noteNames(ctx, user, link)
	return link
}

// latest returns what RomM says about user now, user itself if the caller may not
// ask or was signed out by the change.
func (a *App) latest(ctx context.Context, forwarded application.Forwarded, user *account) *account {
	now, err := a.whoIs(ctx, forwarded.Client.Caller(), forwarded.Session)
	if err == nil && now.ID != user.ID {
		now, err = a.account(ctx, forwarded.Client.Caller(), "/api/users/"+strconv.Itoa(user.ID), forwarded.Session)
	}
	if err != nil || now.key() != user.key() {
		return user
	}
	return now
}
