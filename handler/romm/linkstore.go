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

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Links are the links of one gate, in storage. All handlers of the gate share one
// value.
type Links struct {
	folder  string
	storage func() keyring.Storage
	turn    chan struct{} // a semaphore of one, taken before the storage lock
}

// NewLinks returns the links of a gate. It calls storage for each operation,
// because a reload may change the storage.
func NewLinks(gate string, storage func() keyring.Storage) *Links {
	return &Links{folder: keyring.StoragePrefix(gate) + "/links", storage: storage, turn: make(chan struct{}, 1)}
}

func (l *Links) path(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return l.folder + "/" + kind + "/" + hex.EncodeToString(sum[:16]) + ".json"
}

func (l *Links) subjectPath(issuer, subject string) string { return l.path("subject", issuer, subject) }

func (l *Links) emailPath(email string) string { return l.path("email", strings.ToLower(email)) }

func (l *Links) accountPath(id int) string { return l.path("account", strconv.Itoa(id)) }

// paths returns the paths under which link is stored, one for each lookup.
func (l *Links) paths(link *Link) []string {
	return []string{l.emailPath(link.Email), l.accountPath(link.ID), l.subjectPath(link.Issuer, link.Subject)}
}

// of returns the link of identity, nil if it has none.
func (l *Links) of(ctx context.Context, identity *flow.Identity) (*Link, error) {
	return l.load(ctx, l.subjectPath(identity.Issuer, identity.Subject))
}

// ofEmail returns the link that holds email, nil if no link does.
func (l *Links) ofEmail(ctx context.Context, email string) (*Link, error) {
	return l.load(ctx, l.emailPath(email))
}

// ofAccount returns the link to the RomM account id, nil if no link leads there.
func (l *Links) ofAccount(ctx context.Context, id int) (*Link, error) {
	return l.load(ctx, l.accountPath(id))
}

// List returns all links.
func (l *Links) List(ctx context.Context) ([]Link, error) {
	keys, err := l.storage().List(ctx, l.folder+"/subject", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the links: %w", err)
	}
	links := make([]Link, 0, len(keys))
	for _, key := range keys {
		link, err := l.load(ctx, key)
		if err != nil {
			return nil, err
		}
		if link != nil { // it may have vanished meanwhile
			links = append(links, *link)
		}
	}
	return links, nil
}

// Forget removes the link that holds email, the address of the account in RomM.
// It returns the link, nil if there was none. The next user who signs in with
// that address is linked to the account.
func (l *Links) Forget(ctx context.Context, email string) (*Link, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	link, err := l.ofEmail(ctx, email)
	if err != nil || link == nil {
		return nil, err
	}
	return link, l.remove(ctx, link, l.paths(link))
}

// Move links a RomM account to another subject of the same issuer. account is the
// e-mail address or user name of the account in RomM. Move returns the new link
// and those that it replaced. It returns ErrLinkUnknown, ErrLinkAmbiguous or
// ErrSubjectLinked without changing anything. After any other error, calling it
// again completes the move.
func (l *Links) Move(ctx context.Context, account, subject string) (moved Link, former []Link, err error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return Link{}, nil, err
	}
	defer unlock()
	all, err := l.List(ctx)
	if err != nil {
		return Link{}, nil, err
	}
	for _, link := range all {
		if link.Username != account && !strings.EqualFold(link.Email, account) {
			continue
		}
		if moved.ID != 0 && link.ID != moved.ID {
			return Link{}, nil, ErrLinkAmbiguous
		}
		moved = link
	}
	if moved.ID == 0 {
		return Link{}, nil, ErrLinkUnknown
	}
	moved.Subject, moved.Shut = subject, false
	for _, link := range all {
		switch {
		case link.ID == moved.ID && link.Subject != subject:
			former = append(former, link)
		case link.ID != moved.ID && link.Subject == subject:
			return Link{}, nil, fmt.Errorf("%w: RomM account %s (%s)", ErrSubjectLinked, link.Username, link.Email)
		}
	}
	if err := l.store(ctx, &moved); err != nil {
		return Link{}, nil, err
	}
	for _, link := range former {
		if err := l.remove(ctx, &link, []string{l.subjectPath(link.Issuer, link.Subject)}); err != nil {
			return Link{}, nil, err
		}
	}
	return moved, former, nil
}

// store writes link to all of its paths. The subject's comes last: until then the
// subject has no link.
func (l *Links) store(ctx context.Context, link *Link) error {
	document, err := json.Marshal(link)
	if err != nil {
		return fmt.Errorf("encoding a link: %w", err)
	}
	for _, path := range l.paths(link) {
		if err := l.storage().Store(ctx, path, document); err != nil {
			return fmt.Errorf("storing a link: %w", err)
		}
	}
	return nil
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
		return nil, fmt.Errorf("decoding a link: %w", err)
	}
	return &link, nil
}

// pin stores link unless storage already has it. It returns errLinkTaken if the
// account, or its address, is linked to another subject.
func (l *Links) pin(ctx context.Context, link Link) error {
	bySubject := l.subjectPath(link.Issuer, link.Subject)
	if known, err := l.load(ctx, bySubject); err == nil && known != nil && *known == link {
		return nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	holder, err := l.ofEmail(ctx, link.Email)
	if err != nil {
		return err
	}
	if holder != nil && !holder.sameSubject(&link) {
		return taken(holder, link.Subject)
	}
	holder, err = l.ofAccount(ctx, link.ID)
	if err != nil {
		return err
	}
	if holder != nil && !holder.sameSubject(&link) && holder.sameAccount(&link) {
		return taken(holder, link.Subject)
	}
	known, err := l.load(ctx, bySubject)
	if err != nil {
		return err
	}
	if err := l.store(ctx, &link); err != nil || known == nil {
		return err
	}
	paths := l.paths(&link)
	former := slices.DeleteFunc(l.paths(known), func(path string) bool { return slices.Contains(paths, path) })
	return l.remove(ctx, known, former)
}

// shut marks the link of identity as shut; the next sign-in pins it again.
func (l *Links) shut(ctx context.Context, identity *flow.Identity) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	link, err := l.of(ctx, identity)
	if err != nil || link == nil || link.Shut {
		return err
	}
	holder, err := l.ofAccount(ctx, link.ID)
	if err != nil || holder == nil || !holder.sameSubject(link) {
		return err // the account has another link by now
	}
	link.Shut = true
	return l.store(ctx, link)
}

// remove deletes link from paths, except where storage has another subject's
// link by now.
func (l *Links) remove(ctx context.Context, link *Link, paths []string) error {
	for _, path := range paths {
		holder, err := l.load(ctx, path)
		if err != nil {
			return err
		}
		if holder == nil || !holder.sameSubject(link) {
			continue
		}
		if err := l.storage().Delete(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a link: %w", err)
		}
	}
	return nil
}

// lock takes the storage lock of the links. Callers in this process first queue
// for turn, because storage polls its lock once a second only.
func (l *Links) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the links: %w", ctx.Err())
	}
	storage := l.storage()
	if err := storage.Lock(ctx, l.folder); err != nil {
		<-l.turn
		return nil, fmt.Errorf("locking the links: %w", err)
	}
	return func() {
		_ = storage.Unlock(context.WithoutCancel(ctx), l.folder)
		<-l.turn
	}, nil
}
