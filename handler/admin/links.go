// /romm_oidc/links: which user has which RomM account.

package admin

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// LinksPath is where GET lists the links. DELETE removes the link of the RomM
// account with the e-mail address in the parameter email. PATCH moves the link
// of the RomM account in the parameter account, an e-mail address or user name,
// to the subject in sub.
const LinksPath = "/romm_oidc/links"

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
	gates, values, err := parse(r, "email")
	if err != nil {
		return nil, err
	}
	email := values["email"]
	if email == "" {
		return nil, refuse(http.StatusBadRequest, "which link? Write %s?email=<the RomM account's e-mail address>", LinksPath)
	}
	changed := []ChangedLink{}
	for _, gate := range gates {
		link, err := gate.Links().Forget(ctx, email)
		if err != nil {
			return nil, unavailable(gate, err)
		}
		if link == nil {
			continue
		}
		n, err := endOwner(ctx, gate, link)
		if err != nil {
			return nil, err
		}
		changed = append(changed, ChangedLink{Link{gate.ID(), *link}, n})
	}
	if len(changed) == 0 {
		return nil, refuse(http.StatusNotFound, "no link is to a RomM account with the e-mail address %q", email)
	}
	return changed, nil
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
	switch {
	case errors.Is(err, romm.ErrLinkUnknown):
		return nil, refuse(http.StatusNotFound, "%q: %w", account, err)
	case errors.Is(err, romm.ErrLinkAmbiguous), errors.Is(err, romm.ErrSubjectLinked):
		return nil, refuse(http.StatusConflict, "%w", err)
	case err != nil:
		return nil, unavailable(gate, err)
	}
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

// endOwner ends the sessions of the user who had link.
func endOwner(ctx context.Context, gate Gate, link *romm.Link) (int, error) {
	n, err := gate.Sessions().EndUser(ctx, session.UserKey(link.Issuer, link.Subject), reason)
	return n, ended(gate, n, err, zap.String("romm_user", link.Username), zap.String("sub", link.Subject))
}
