package romm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// Link pins a user of the provider, by issuer and subject, to a RomM account.
// RomM itself knows users by e-mail address only, so that a changed address
// would make a second account, and somebody else's address would take over the first.
type Link struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ID       int    `json:"romm_id"`
	Username string `json:"username"` // as RomM spells it
	Email    string `json:"email"`    // as RomM has it, which may no longer be the provider's
}

// owns reports whether l is the link of identity.
func (l *Link) owns(identity *flow.Identity) bool {
	return l.Issuer == identity.Issuer && l.Subject == identity.Subject
}

func (a *App) linkPath(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return flow.StoragePrefix(a.Gate) + "/links/" + kind + "/" + hex.EncodeToString(sum[:16]) + ".json"
}

func (a *App) subjectPath(issuer, subject string) string {
	return a.linkPath("subject", issuer, subject)
}

func (a *App) emailPath(email string) string { return a.linkPath("email", strings.ToLower(email)) }

func (a *App) accountPath(id int) string { return a.linkPath("account", strconv.Itoa(id)) }

// paths are the places where l is stored: it is looked for by each.
func (a *App) paths(l *Link) []string {
	return []string{a.emailPath(l.Email), a.accountPath(l.ID), a.subjectPath(l.Issuer, l.Subject)}
}

// linkOf returns the link of identity, nil if there is none.
func (a *App) linkOf(ctx context.Context, identity *flow.Identity) (*Link, error) {
	return a.loadLink(ctx, a.subjectPath(identity.Issuer, identity.Subject))
}

// linkOfEmail returns the link that holds email, nil if there is none.
func (a *App) linkOfEmail(ctx context.Context, email string) (*Link, error) {
	return a.loadLink(ctx, a.emailPath(email))
}

// linkOfAccount returns the link to the RomM account id, nil if there is none.
func (a *App) linkOfAccount(ctx context.Context, id int) (*Link, error) {
	return a.loadLink(ctx, a.accountPath(id))
}

func (a *App) loadLink(ctx context.Context, path string) (*Link, error) {
	document, err := a.Storage().Load(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // not found is no error in a store
	}
	if err != nil {
		return nil, fmt.Errorf("loading a link: %w", err)
	}
	var link Link
	if err := json.Unmarshal(document, &link); err != nil {
		return nil, fmt.Errorf("decoding a link: %w", err)
	}
	return &link, nil
}

// pin stores link unless it already stands so. It returns errLinkTaken if
// the address has come to be another's.
func (a *App) pin(ctx context.Context, link Link) error {
	bySubject := a.subjectPath(link.Issuer, link.Subject)
	if known, err := a.loadLink(ctx, bySubject); err == nil && known != nil && *known == link {
		return nil
	}
	// One at a time in this process: who waits for the storage lock of
	// somebody beside them would wait a whole second for it.
	select {
	case a.State.linkTurn <- struct{}{}:
		defer func() { <-a.State.linkTurn }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to store a link: %w", ctx.Err())
	}
	storage := a.Storage()
	lock := flow.StoragePrefix(a.Gate) + "/links"
	if err := storage.Lock(ctx, lock); err != nil {
		return fmt.Errorf("locking the links: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), lock) }()

	holder, err := a.linkOfEmail(ctx, link.Email)
	if err != nil {
		return err
	}
	if holder != nil && (holder.Issuer != link.Issuer || holder.Subject != link.Subject) {
		return errLinkTaken
	}
	known, err := a.loadLink(ctx, bySubject)
	if err != nil {
		return err
	}
	document, err := json.Marshal(link)
	if err != nil {
		return fmt.Errorf("encoding a link: %w", err)
	}
	paths := a.paths(&link)
	for _, path := range paths {
		if err := storage.Store(ctx, path, document); err != nil {
			return fmt.Errorf("storing a link: %w", err)
		}
	}
	if known == nil {
		return nil
	}
	for _, path := range a.paths(known) {
		if slices.Contains(paths, path) {
			continue
		}
		if err := storage.Delete(ctx, path); err != nil {
			return fmt.Errorf("removing a former link: %w", err)
		}
	}
	return nil
}
