// The links of a gate in storage.

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
	"sync"
	"sync/atomic"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Links are the links of one gate, in storage. All handlers of the gate share one
// value. Each link is stored twice: by its account, which decides who owns
// the account, and by its subject, which says where a sign-in leads.
type Links struct {
	folder  string
	storage func() keyring.Storage
	locks   keyring.Locks[string] // by the path of the account
	latest  latest                // the refreshes of links
	swept   atomic.Int64          // the day of the last sweepIssued

	names        *names
	storingNames sync.Mutex
}

// NewLinks returns the links of a gate. It calls storage for each operation,
// because a reload may change the storage.
func NewLinks(gate string, storage func() keyring.Storage) *Links {
	return &Links{folder: keyring.StoragePrefix(gate) + "/links", storage: storage, names: newNames()}
}

func (l *Links) path(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return l.folder + "/" + kind + "/" + hex.EncodeToString(sum[:16]) + ".json"
}

func (l *Links) subjectPath(link *Link) string { return l.path("subject", link.Issuer, link.Subject) }

func (l *Links) accountPath(id int) string { return l.path("account", strconv.Itoa(id)) }

// waitingPath is where the first sign-in of link's subject waits for the
// operator's trust.
func (l *Links) waitingPath(link *Link) string { return l.path("waiting", link.Issuer, link.Subject) }

// of returns the link of identity, nil if it has none.
func (l *Links) of(ctx context.Context, identity *flow.Identity) (*Link, error) {
	link, err := l.load(ctx, l.subjectPath(subjectOf(identity)))
	if err != nil || link == nil {
		return nil, err
	}
	holder, err := l.ofAccount(ctx, link.ID)
	if err != nil {
		return nil, err
	}
	if holder != nil && !holder.sameSubject(link) && holder.sameAccount(link) {
		return nil, nil // the account was given to another subject, and that was interrupted
	}
	return link, nil
}

// ofAccount returns the link to the RomM account id, nil if no link leads there.
func (l *Links) ofAccount(ctx context.Context, id int) (*Link, error) {
	return l.load(ctx, l.accountPath(id))
}

// ofUser returns the link to user, nil if no link leads there.
func (l *Links) ofUser(ctx context.Context, user *account) (*Link, error) {
	link, err := l.ofAccount(ctx, user.ID)
	if err != nil || link == nil {
		return nil, err
	}
	if now := linkTo(user, "", ""); !link.sameAccount(&now) {
		return nil, nil
	}
	return link, nil
}

// List returns all links, and the sign-ins that wait for trust.
func (l *Links) List(ctx context.Context) ([]Link, error) {
	links, err := l.list(ctx, "subject")
	if err != nil {
		return nil, err
	}
	// An interrupted first sign-in leaves an account without its subject's link.
	byAccount, err := l.list(ctx, "account")
	if err != nil {
		return nil, err
	}
	for _, interrupted := range byAccount {
		if !slices.ContainsFunc(links, func(link Link) bool { return link.sameSubject(&interrupted) }) {
			links = append(links, interrupted)
		}
	}
	waiting, err := l.list(ctx, "waiting")
	if err != nil {
		return nil, err
	}
	links = append(links, waiting...)
	for i := range links {
		if links[i].Shut, err = l.isShut(ctx, &links[i]); err != nil && !unreadable(err) {
			return nil, err
		}
	}
	return links, nil
}

func (l *Links) list(ctx context.Context, kind string) ([]Link, error) {
	keys, err := l.storage().List(ctx, l.folder+"/"+kind, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the links: %w", err)
	}
	links := make([]Link, 0, len(keys))
	for _, key := range keys {
		link, err := l.load(ctx, key)
		if err != nil && !unreadable(err) { // one that is damaged does not hide the others
			return nil, err
		}
		if link != nil { // it may have been removed after the listing
			links = append(links, *link)
		}
	}
	return links, nil
}

func (l *Links) load(ctx context.Context, path string) (*Link, error) {
	document, err := l.storage().Load(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no link is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("loading a link: %w", err)
	}
	var link Link
	if err := json.Unmarshal(document, &link); err != nil {
		return nil, &keyring.DocumentError{
			Key: path, Cause: err,
			Remedy: "restore it from a backup, or delete it: its user is linked anew at their next sign-in",
		}
	}
	return &link, nil
}

// unreadable reports whether err is that of one damaged link.
func unreadable(err error) bool {
	_, damaged := errors.AsType[*keyring.DocumentError](err)
	return damaged
}

// put stores link at path unless it is there.
func (l *Links) put(ctx context.Context, path string, link *Link) error {
	if known, err := l.load(ctx, path); err == nil && known != nil && *known == *link {
		return nil
	}
	return l.write(ctx, path, link)
}

func (l *Links) write(ctx context.Context, path string, link *Link) error {
	document, err := json.Marshal(link)
	if err != nil {
		return fmt.Errorf("encoding a link: %w", err)
	}
	if err := l.storage().Store(ctx, path, document); err != nil {
		return fmt.Errorf("storing a link: %w", err)
	}
	return nil
}

// store writes link by account, then by subject: until then the subject has no
// link. The caller holds the lock of the account, and has read under it the link
// that leads there, nil if none does.
func (l *Links) store(ctx context.Context, link, holder *Link) error {
	if holder != nil && holder.Shut { // of a former release, which has no mark for that
		if err := l.mark(ctx, shutMark{Link: *holder}); err != nil {
			return err
		}
	}
	link.Shut = false
	if holder == nil || *holder != *link {
		if err := l.write(ctx, l.accountPath(link.ID), link); err != nil {
			return err
		}
	}
	return l.put(ctx, l.subjectPath(link), link)
}

// pin stores link. It returns errLinkTaken if the account is linked to another
// subject. The subject's former account has no link then.
func (l *Links) pin(ctx context.Context, link Link) error {
	former, err := l.load(ctx, l.subjectPath(&link))
	if err != nil {
		return err
	}
	holder, err := l.ofAccount(ctx, link.ID)
	if err != nil {
		return err
	}
	if former != nil && *former == link && holder != nil && *holder == link {
		return nil
	}
	if err := l.claim(ctx, &link); err != nil {
		return err
	}
	if former != nil && former.ID != link.ID {
		return l.release(ctx, former)
	}
	return nil
}

// claim stores link under the lock of its account. It returns errLinkTaken if the
// account is linked to another subject.
func (l *Links) claim(ctx context.Context, link *Link) error {
	unlock, err := l.lock(ctx, link.ID)
	if err != nil {
		return err
	}
	defer unlock()
	holder, err := l.ofAccount(ctx, link.ID)
	if err != nil {
		return err
	}
	switch {
	case holder == nil || !holder.sameAccount(link):
	case !holder.sameSubject(link):
		return taken(holder, link.Subject)
	default: // another sign-in of the user may have stored newer claims meanwhile
		link.Claimed = holder.Claimed.then(link.Claimed)
	}
	return l.store(ctx, link, holder)
}

// refresh stores what RomM says about user now in the link to it, if there is one.
func (l *Links) refresh(ctx context.Context, user *account) error {
	unlock, err := l.lock(ctx, user.ID)
	if err != nil {
		return err
	}
	defer unlock()
	link, err := l.ofUser(ctx, user)
	if err != nil || link == nil {
		return err
	}
	holder := *link
	link.Username, link.Email, link.Role = user.Username, user.Email, user.Role
	return l.store(ctx, link, &holder)
}

// release removes the account's part of link, unless the account now has
// another link.
func (l *Links) release(ctx context.Context, link *Link) error {
	unlock, err := l.lock(ctx, link.ID)
	if err != nil {
		return err
	}
	defer unlock()
	return l.remove(ctx, link, l.accountPath(link.ID))
}

// remove deletes link from path, except where storage now has another
// subject's link.
func (l *Links) remove(ctx context.Context, link *Link, path string) error {
	holder, err := l.load(ctx, path)
	if err != nil {
		return err
	}
	if holder == nil || !holder.sameSubject(link) {
		return nil
	}
	if holder.Shut {
		if err := l.mark(ctx, shutMark{Link: *holder}); err != nil {
			return err
		}
	}
	return l.drop(ctx, path)
}

func (l *Links) drop(ctx context.Context, path string) error {
	if err := l.storage().Delete(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a link: %w", err)
	}
	return nil
}
