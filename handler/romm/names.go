// Names that accounts gave up a moment ago. RomM's sessions hold a name, and other
// nodes believe for up to 2 s that such a session is still its former account's.

package romm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// nameRest is for how long a name that an account gave up goes to no other
	// account: until all nodes have learnt of it, and clocks may differ a little.
	nameRest = 4 * time.Second
	// nameWait is how long a sign-in waits for a name at most.
	nameWait = 5 * time.Second
	// namePoll is the pause between two looks at a name that may be given up.
	namePoll = 500 * time.Millisecond
	// unsettledFor is for how long RomM may still carry out a change that it has not
	// answered: its own proxy gives up after that time.
	unsettledFor = 5 * time.Minute
	// namesKept is how long the names of a process stay in storage.
	namesKept = 24 * time.Hour
	// heldKept and formerKept bound how many names are remembered.
	heldKept   = 10_000
	formerKept = 1000
)

// formerName is a name that an account gave up, or may be giving up.
type formerName struct {
	Name      string    `json:"name"`
	Account   string    `json:"account"` // its key
	At        time.Time `json:"at"`
	Unsettled bool      `json:"unsettled,omitempty"` // RomM has not answered the change
}

// over reports whether no sign-in has to care about the name any more.
func (f *formerName) over(now time.Time) bool {
	if f.Unsettled {
		return now.Sub(f.At) > unsettledFor
	}
	return now.Sub(f.At) > 3*nameRest
}

// names are the names that accounts gave up at this process. It stores them for the
// others.
type names struct {
	process string // of this process, in storage

	mu     sync.Mutex
	held   map[string]string // the names of accounts, by key, as RomM answered last
	former []formerName
}

func newNames() *names { return &names{process: rand.Text(), held: make(map[string]string)} }

// renamed notes that RomM answered with user, who was called former in the link.
func (n *names) renamed(user *account, former string, now time.Time) (news bool) {
	key, name := user.key(), strings.ToLower(user.Username)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, gone := range []string{strings.ToLower(former), n.held[key]} {
		if gone != "" && gone != name {
			n.put(formerName{Name: gone, Account: key, At: now})
			news = true
		}
	}
	if news { // two answers may have come in the wrong order
		n.put(formerName{Name: name, Account: key, At: now})
	}
	if len(n.held) >= heldKept {
		clear(n.held)
	}
	n.held[key] = name
	return news
}

// unsettled notes that user's name may be given up.
func (n *names) unsettled(user *account, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.put(formerName{Name: strings.ToLower(user.Username), Account: user.key(), At: now, Unsettled: true})
}

// put replaces what is known of a name and an account. It needs n.mu.
func (n *names) put(f formerName) {
	n.former = slices.DeleteFunc(n.former, func(other formerName) bool {
		return other.over(f.At) || other.Name == f.Name && other.Account == f.Account
	})
	if len(n.former) >= formerKept {
		n.former = n.former[1:]
	}
	n.former = append(n.former, f)
}

func (n *names) list() []formerName {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.former)
}

func (l *Links) namesPath(process string) string { return l.path("names", process) }

// noteNames notes the name that RomM answered for user, and what it says about the
// one in link; nil: the account has none.
func (l *Links) noteNames(ctx context.Context, user *account, link *Link) {
	former := ""
	if link != nil {
		former = link.Username
	}
	if l.names.renamed(user, former, time.Now()) {
		l.storeNames(ctx)
	}
}

// noteUnsettled notes that RomM has not answered a change of user.
func (l *Links) noteUnsettled(ctx context.Context, user *account) {
	l.names.unsettled(user, time.Now())
	l.storeNames(ctx)
}

// storeNames tells the other nodes. A storage that is away keeps them from signing
// users in, too.
func (l *Links) storeNames(ctx context.Context) {
	l.storingNames.Lock()
	defer l.storingNames.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	if document, err := json.Marshal(l.names.list()); err == nil {
		_ = l.storage().Store(ctx, l.namesPath(l.names.process), document)
	}
}

// formerNames returns the names that accounts gave up at any node.
func (l *Links) formerNames(ctx context.Context) ([]formerName, error) {
	all := l.names.list()
	paths, err := l.storage().List(ctx, l.folder+"/names", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing former names: %w", err)
	}
	for _, path := range paths {
		if path == l.namesPath(l.names.process) {
			continue
		}
		document, err := l.storage().Load(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("loading former names: %w", err)
		}
		var others []formerName
		if json.Unmarshal(document, &others) != nil { // it is of use for minutes only
			continue
		}
		if !slices.ContainsFunc(others, func(f formerName) bool { return time.Since(f.At) < namesKept }) {
			_ = l.drop(ctx, path) // its process may be gone; best effort
		}
		all = append(all, others...)
	}
	return all, nil
}

// rests returns since when name rests, because accounts other than own gave it up;
// zero: it does not. unsettled says that one may be giving it up.
func (l *Links) rests(ctx context.Context, name, own string) (since time.Time, unsettled bool, err error) {
	all, err := l.formerNames(ctx)
	now := time.Now()
	for _, former := range all {
		switch {
		case former.Account == own || former.Name != strings.ToLower(name) || former.over(now):
		case former.Unsettled:
			unsettled = true
		case former.At.After(since) && now.Sub(former.At) < nameRest:
			since = former.At
		}
	}
	return since, unsettled, err
}

// awaitName waits until name rests no longer, but not for long. free is false if it
// still does, or may soon be given up.
func (l *Links) awaitName(ctx context.Context, name, own string) (free bool, err error) {
	began := time.Now()
	for first := (time.Time{}); ; {
		since, unsettled, err := l.rests(ctx, name, own)
		if err != nil || since.IsZero() && !unsettled {
			return err == nil, err
		}
		waited := time.Since(began)
		if waited >= nameWait { // the name may look as if it rested because another node's clock is fast
			return !unsettled && since.Equal(first), nil
		}
		if first.IsZero() {
			first = since
		}
		wait := namePoll
		if !unsettled {
			wait = min(nameRest-time.Since(since), nameRest) + time.Millisecond
		}
		if err := sleep(ctx, min(wait, nameWait-waited)); err != nil {
			return false, err
		}
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a name: %w", ctx.Err())
	}
}
