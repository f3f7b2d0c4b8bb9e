// What the operator can do with links.

package romm

import (
	"context"
	"errors"
	"fmt"
)

// find returns the links to the one RomM account that account names by its
// e-mail address or user name. Waiting sign-ins are among them if waiting is true.
func (l *Links) find(ctx context.Context, account string, waiting bool) (found, all []Link, err error) {
	all, err = l.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, link := range all {
		if !link.named(account) || link.Waiting && !waiting {
			continue
		}
		if len(found) > 0 && !found[0].sameAccount(&link) {
			return nil, nil, ErrLinkAmbiguous
		}
		found = append(found, link)
	}
	if len(found) == 0 {
		return nil, nil, ErrLinkUnknown
	}
	return found, all, nil
}

// Forget removes the links to the RomM account with this e-mail address or user
// name, and returns them. The next user who signs in with the account's address
// is linked to it. Until then the account is shut, because no end of a user can
// shut it any more. Forget returns ErrLinkUnknown or ErrLinkAmbiguous without
// changing anything.
func (l *Links) Forget(ctx context.Context, account string) ([]Link, error) {
	found, _, err := l.find(ctx, account, true)
	if err != nil {
		return nil, err
	}
	unlock, err := l.lock(ctx, found[0].ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for i := range found {
		link := &found[i]
		paths := []string{l.accountPath(link.ID), l.subjectPath(link)}
		if link.Waiting {
			paths = []string{l.waitingPath(link)}
		} else if err := l.mark(ctx, shutMark{Link: *link}); err != nil {
			return nil, err
		}
		for _, path := range paths {
			if err := l.remove(ctx, link, path); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// Move links a RomM account to another subject of the same issuer. account is the
// e-mail address or user name of the account in RomM. Move returns the new link
// and those that it replaced. The new link is not trusted, because the former
// subject may know ways into the account, and the account is shut until the new
// one signs in. Move returns ErrLinkUnknown, ErrLinkAmbiguous or ErrSubjectLinked
// without changing anything. After any other error, calling it again completes
// the move.
func (l *Links) Move(ctx context.Context, account, subject string) (moved Link, former []Link, err error) {
	found, all, err := l.find(ctx, account, false)
	if err != nil {
		return Link{}, nil, err
	}
	moved = found[0]
	for _, link := range found {
		if link.Subject == subject { // the rest of an interrupted move
			moved = link
		}
	}
	unlock, err := l.lock(ctx, moved.ID)
	if err != nil {
		return Link{}, nil, err
	}
	defer unlock()
	for _, link := range all {
		switch {
		case link.Waiting:
		case link.sameAccount(&moved) && link.Subject != subject:
			former = append(former, link)
		case link.ID != moved.ID && link.Subject == subject:
			return Link{}, nil, fmt.Errorf("%w: RomM account %s (%s)", ErrSubjectLinked, link.Username, link.Email)
		}
	}
	if moved.Subject != subject {
		if err := l.mark(ctx, shutMark{Link: moved}); err != nil {
			return Link{}, nil, err
		}
		moved.Subject, moved.Trusted, moved.Made, moved.Claimed = subject, false, false, claimed{}
	}
	holder, err := l.ofAccount(ctx, moved.ID)
	if err != nil {
		return Link{}, nil, err
	}
	if err := l.store(ctx, &moved, holder); err != nil {
		return Link{}, nil, err
	}
	for i := range former {
		if err := l.remove(ctx, &former[i], l.subjectPath(&former[i])); err != nil {
			return Link{}, nil, err
		}
	}
	return moved, former, nil
}

// Trust lets roles make the RomM account with this e-mail address or user name
// an administrator's. A sign-in that waits for it becomes a link. It returns
// ErrLinkUnknown, ErrLinkAmbiguous or ErrAccountLinked without changing anything.
func (l *Links) Trust(ctx context.Context, account string) (Link, error) {
	found, _, err := l.find(ctx, account, true)
	if err != nil {
		return Link{}, err
	}
	trusted := found[0]
	for _, link := range found {
		if !link.Waiting {
			trusted = link
		} else if !trusted.sameSubject(&link) && trusted.Waiting {
			return Link{}, ErrLinkAmbiguous
		}
	}
	waiting := trusted.Waiting
	trusted.Trusted, trusted.Waiting = true, false
	if err := l.claim(ctx, &trusted); err != nil {
		if errors.Is(err, errLinkTaken) {
			err = ErrAccountLinked
		}
		return Link{}, err
	}
	if waiting {
		return trusted, l.stopWaiting(ctx, &trusted)
	}
	return trusted, nil
}

// stopWaiting ends what wait began.
func (l *Links) stopWaiting(ctx context.Context, link *Link) error {
	waiting, err := l.load(ctx, l.waitingPath(link))
	if err != nil || waiting == nil {
		return err
	}
	return l.drop(ctx, l.waitingPath(link))
}

// wait notes that link's subject waits for the operator's trust in the account.
func (l *Links) wait(ctx context.Context, link Link) error {
	link.Waiting = true
	return l.put(ctx, l.waitingPath(&link), &link)
}

// refreshWaiting is refresh for sign-ins that wait for trust in user's account. The
// operator names the account as RomM does now.
func (l *Links) refreshWaiting(ctx context.Context, user *account) error {
	all, err := l.list(ctx, "waiting")
	if err != nil {
		return err
	}
	now := linkTo(user, "", "")
	for _, link := range all {
		if !link.sameAccount(&now) || link.Username == user.Username && link.Email == user.Email {
			continue
		}
		link.Username, link.Email, link.Role = user.Username, user.Email, user.Role
		if err := l.put(ctx, l.waitingPath(&link), &link); err != nil {
			return err
		}
	}
	return nil
}
