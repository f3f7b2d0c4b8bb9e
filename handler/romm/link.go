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

// Link pins a user of the provider, by issuer and subject, to a RomM account.
// RomM itself knows users by e-mail address only, so that a changed address
// would make a second account, and somebody else's address would take over the first.
type Link struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ID       int    `json:"romm_id"`
	Username string `json:"username"` // as RomM spells it
	Email    string `json:"email"`    // as RomM has it, which may no longer be the provider's
	// Created is when RomM made the account: where its database was made anew,
	// an ID says nothing. Empty if RomM did not say.
	Created string `json:"romm_created,omitempty"`
	// Shut says that the provider or the policy no longer lets the subject in.
	Shut bool `json:"shut,omitempty"`
}

// linkTo returns the link of a subject to user.
func linkTo(user *account, issuer, subject string) Link {
	return Link{
		Issuer: issuer, Subject: subject, ID: user.ID, Username: user.Username, Email: user.Email,
		Created: user.Created[:min(len(user.Created), len("2006-01-02T15:04:05"))], // without the zone, which not every RomM names
	}
}

// owns reports whether l is the link of identity.
func (l *Link) owns(identity *flow.Identity) bool {
	return l.Issuer == identity.Issuer && l.Subject == identity.Subject
}

// sameSubject reports whether l and other are of one user of the provider's.
func (l *Link) sameSubject(other *Link) bool {
	return l.Issuer == other.Issuer && l.Subject == other.Subject
}

// sameAccount reports whether l and other are to one RomM account.
func (l *Link) sameAccount(other *Link) bool {
	return l.ID == other.ID && (l.Created == other.Created || l.Created == "" || other.Created == "")
}

// taken is errLinkTaken with what its operator needs to know.
func taken(holder *Link, subject string) error {
	return errLinkTaken.Because(fmt.Errorf("subject %s has the RomM account %s, this is subject %s", holder.Subject, holder.Username, subject))
}

// Links are the links of one gate, in storage. All handler instances of the
// gate share one value.
type Links struct {
	folder  string
	storage func() keyring.Storage
	turn    chan struct{} // holds one token: whose turn it is to take the storage lock
}

// NewLinks returns the links of a gate. storage is asked each time, as a
// reload may bring another.
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

// paths are the places where link is stored: it is looked for by each.
func (l *Links) paths(link *Link) []string {
	return []string{l.emailPath(link.Email), l.accountPath(link.ID), l.subjectPath(link.Issuer, link.Subject)}
}

// of returns the link of identity, nil if there is none.
func (l *Links) of(ctx context.Context, identity *flow.Identity) (*Link, error) {
	return l.load(ctx, l.subjectPath(identity.Issuer, identity.Subject))
}

// ofEmail returns the link that holds email, nil if there is none.
func (l *Links) ofEmail(ctx context.Context, email string) (*Link, error) {
	return l.load(ctx, l.emailPath(email))
}

// ofAccount returns the link to the RomM account id, nil if there is none.
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

// Forget removes the link that holds email, RomM's own for the account, and
// returns it, nil if there was none. Whoever signs in with that address next
// is linked to the account.
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

// Move gives the RomM account, named by its e-mail address or user name in
// RomM, to another subject of the same issuer, and returns the link as it is
// now and those that it replaced. It returns ErrLinkUnknown,
// ErrLinkAmbiguous or ErrSubjectLinked, and has changed nothing then. What was
// interrupted is finished by moving again.
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

// store writes link to all of its places, that of its subject last: until then
// it does not count as the subject's.
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
// the account is another's, or the address has come to be.
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

// shut notes that identity is let in no more, until its next sign-in.
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
		return err // another's by now
	}
	link.Shut = true
	return l.store(ctx, link)
}

// remove removes link from paths, but what has come to be another's there.
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

// lock takes the storage lock of the links. In this process they take turns
// first: who waits for the storage lock of somebody beside them would wait a
// whole second for it.
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
