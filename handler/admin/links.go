// /romm_oidc/links: which user has which RomM account.

package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// LinksPath is where GET lists the links. The parameter account is the e-mail
// address or user name of a RomM account: DELETE removes its link, and PATCH
// moves it to the subject in sub. DELETE also takes the address as email.
const LinksPath = "/romm_oidc/links"

// TrustPath is where POST trusts the RomM account in the parameter account, an
// e-mail address or user name.
const TrustPath = LinksPath + "/trust"

// Link is a link and its gate.
type Link struct {
	Gate string `json:"gate"`
	romm.Link
}

// ChangedLink is a link that was moved or removed. The sessions of the link's
// former user have ended, since they act as the RomM account.
type ChangedLink struct {
	Link
	Ended int `json:"ended"` // sessions
}

func listLinks(ctx context.Context, r *http.Request) (any, error) {
	gates, _, err := parse(r)
	if err != nil {
		return nil, err
	}
	all := []Link{}
	for _, gate := range gates {
		links, err := gate.Links().List(ctx)
		if err != nil {
			return nil, unavailable(gate, err)
		}
		for _, link := range links {
			all = append(all, Link{Gate: gate.ID(), Link: link})
		}
	}
	return all, nil
}

func forgetLinks(ctx context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "account", "email")
	if err != nil {
		return nil, err
	}
	account := cmp.Or(values["account"], values["email"])
	if account == "" {
		return nil, refuse(http.StatusBadRequest, "which link? Write %s?email=<the RomM account's e-mail address>, or ?account=<its user name>", LinksPath)
	}
	changed := []ChangedLink{}
	for _, gate := range gates {
		links, err := gate.Links().Forget(ctx, account)
		if errors.Is(err, romm.ErrLinkUnknown) {
			continue
		}
		if err != nil {
			return nil, linkError(gate, account, err)
		}
		gate.AccountsChanged(ctx)
		for i := range links {
			n, err := endOwner(ctx, gate, &links[i])
			if err != nil {
				return nil, err
			}
			reportLink(gate, event.AccountUnlinked, &links[i])
			changed = append(changed, ChangedLink{Link{gate.ID(), links[i]}, n})
		}
	}
	if len(changed) == 0 {
		return nil, linkError(nil, account, romm.ErrLinkUnknown)
	}
	return changed, nil
}

func trustLink(ctx context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "account")
	if err != nil {
		return nil, err
	}
	account := values["account"]
	if account == "" {
		return nil, refuse(http.StatusBadRequest, "which account? Write %s?account=<the RomM account's e-mail address or user name>", TrustPath)
	}
	if len(gates) > 1 {
		return nil, refuse(http.StatusBadRequest, "there is more than one gate: add gate=<id>")
	}
	link, err := gates[0].Links().Trust(ctx, account)
	if err != nil {
		return nil, linkError(gates[0], account, err)
	}
	reportLink(gates[0], event.AccountTrusted, &link)
	return []Link{{gates[0].ID(), link}}, nil
}

// linkError returns the response for err, the failure of a change to the link of
// account.
func linkError(gate Gate, account string, err error) error {
	switch {
	case errors.Is(err, romm.ErrLinkUnknown):
		return refuse(http.StatusNotFound, "%q: %w", account, err)
	case errors.Is(err, romm.ErrLinkAmbiguous), errors.Is(err, romm.ErrSubjectLinked), errors.Is(err, romm.ErrAccountLinked):
		return refuse(http.StatusConflict, "%w", err)
	}
	return unavailable(gate, err)
}

func moveLink(ctx context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "account", "sub")
	if err != nil {
		return nil, err
	}
	account, subject := values["account"], values["sub"]
	if account == "" || subject == "" {
		return nil, refuse(http.StatusBadRequest, "which link, and where to? Write %s?account=<the RomM account's e-mail address or user name>&sub=<the new subject>", LinksPath)
	}
	if len(gates) > 1 { // subjects differ by provider, and often by client
		return nil, refuse(http.StatusBadRequest, "there is more than one gate: add gate=<id>")
	}
	gate := gates[0]
	link, former, err := gate.Links().Move(ctx, account, subject)
	if err != nil {
		return nil, linkError(gate, account, err)
	}
	reportLink(gate, event.AccountLinked, &link)
	gate.AccountsChanged(ctx)
	changed := ChangedLink{Link: Link{gate.ID(), link}}
	for i := range former {
		n, err := endOwner(ctx, gate, &former[i])
		if err != nil {
			return nil, err
		}
		changed.Ended += n
	}
	return []ChangedLink{changed}, nil
}

// reportLink reports what the operator did to a link.
func reportLink(gate Gate, name event.Name, link *romm.Link) {
	gate.Report(&event.Event{Name: name, Subject: link.Subject, Account: link.Account(), By: event.ByOperator})
}

// endOwner ends the sessions and access tokens of the user who had link.
func endOwner(ctx context.Context, gate Gate, link *romm.Link) (int, error) {
	key := session.UserKey(link.Issuer, link.Subject)
	tokens, failed := gate.EndTokens(ctx, []string{key}, func(*flow.Identity) bool { return false }, reason)
	sessions, err := gate.Sessions().EndUser(ctx, key, reason)
	return sessions, ended(gate, Ended{Ended: sessions, Tokens: tokens}, errors.Join(err, failed), zap.String("romm_user", link.Username), zap.String("sub", link.Subject))
}
