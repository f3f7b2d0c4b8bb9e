// Store: what it is made of, how it is configured, and how a session is created.

package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	// DefaultIdle is the default of Limits.Idle.
	DefaultIdle = 14 * 24 * time.Hour

	// DefaultLifetime is the default of Limits.Lifetime.
	DefaultLifetime = 30 * 24 * time.Hour

	// defaultCapacity is the default of Options.Capacity. A session that is not
	// in memory costs four reads of storage at its next request, so memory need
	// not hold all. This many take about 60 MiB with the tokens that Authelia
	// issues, and are more than a library has signed-in browsers.
	defaultCapacity = 20_000

	loadLimit     = 10 * time.Second // for reading one session
	storeLimit    = 10 * time.Second // for writes that must complete even if the request ends
	absentSeconds = 60               // for which an ID without a session is not looked up again
)

// Limits say when a session ends by itself, and when the keyring gets a new
// secret. With a zero Idle or Lifetime, sessions end at once.
type Limits struct {
	Idle     time.Duration // since the last use, which is exact to Idle/20 across restarts and nodes
	Lifetime time.Duration // since sign-in
	Rotate   time.Duration // age of the newest secret at which a new one is added; never if 0
}

// Options do not change during the life of a Store.
type Options struct {
	Gate     string           // the gate's ID: storage prefix, and part of every key
	Capacity int              // sessions in memory, default 20,000
	Node     string           // the name of this node in lists
	Logger   *zap.Logger      // default: no logs
	Now      func() time.Time // default time.Now
}

// Store keeps the sessions of one gate. Call Configure before use, and Run in
// one goroutine. All methods may be called concurrently.
type Store struct {
	gate     string
	node     string
	logger   *zap.Logger
	now      func() time.Time
	onEnd    func(session *Session, reason string, inProgress bool) // may be nil
	onWork   func(work string, err error)                           // may be nil
	onOwnEnd func(ctx context.Context, end End)                     // may be nil

	vault          atomic.Pointer[vault]
	keyring        atomic.Pointer[loadedKeyring]
	memory         memory
	loads          flight[*Session] // keyed by the hash of the whole ticket
	listings       flight[[]ID]
	keyringReads   flight[*keyring.Keyring]
	keyringDoubted atomic.Bool // another node may need this one to write it again
	probes         flight[struct{}]
	updates        keyring.Locks[ID] // one Update of a session at a time
	lastUses       chan *Session     // sessions with a last use to be written
	rest           rest
	jobs           []*job // see Every
	doubts         doubts
	retries        retryQueue  // ends and records that storage could not take
	revocations    revocations // recent calls of EndUser, EndSID, EndNamed and EndAll
	health         health      // what was last seen of storage
	inUse          atomic.Bool // a session was used since storage was last tried
	process        string      // names this process in intents
	lastPoll       pollTime    // of the last successful followEnds; only catchUp uses it
	keyringBroken  atomic.Bool // it could not be used when it was last read

	released   atomic.Bool  // Close was called: no session holds a stream any more
	clockAhead atomic.Int64 // by how much the wall clock was ahead of the ticks
	lifecycle  sync.Mutex   // guards the fields below
	stop       context.CancelFunc
	done       chan struct{}
	closed     bool
}

// New returns a store. Until Configure is called, its methods return an error.
func New(o Options) *Store {
	if o.Capacity <= 0 {
		o.Capacity = defaultCapacity
	}
	s := &Store{gate: o.Gate, node: o.Node, logger: o.Logger, now: o.Now, memory: newMemory(o.Capacity), process: rand.Text()}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.clockAhead.Store(s.unix() - s.tick())
	s.lastUses = make(chan *Session, lastUseQueue)
	s.doubts.writing = make(chan struct{}, 1)
	s.OnDoubt(func() { s.keyringDoubted.Store(true) })
	return s
}

// Configure sets where sessions are stored and how long they live. Every
// configuration of the gate calls it; the last call applies, to existing
// sessions too.
func (s *Store) Configure(storage keyring.Storage, limits Limits) {
	if storage != nil {
		storage = watchedStorage{storage, s}
	}
	s.vault.Store(&vault{
		gate: s.gate, storage: storage, limits: limits, logger: s.logger,
		lastUseEvery: max(1, int64(limits.Idle/20/time.Second)),
	})
	s.Use() // what is in memory may be from another storage
}

// configured returns the current vault, or errNotConfigured.
func (s *Store) configured() (*vault, error) {
	if v := s.vault.Load(); v != nil && v.storage != nil {
		return v, nil
	}
	return nil, errNotConfigured
}

// openVault returns the current vault with the keyring, which it reads from
// storage on first use.
func (s *Store) openVault(ctx context.Context) (openVault, error) {
	v, err := s.configured()
	if err != nil {
		return openVault{}, err
	}
	keys, err := s.Keyring(ctx)
	if err != nil {
		return openVault{}, err
	}
	return openVault{v, keys}, nil
}

// Gate returns the gate's ID.
func (s *Store) Gate() string { return s.gate }

// Len returns the number of sessions in memory.
func (s *Store) Len() int { return s.memory.size() }

// Each calls visit for each session in memory.
func (s *Store) Each(visit func(*Session)) { s.memory.each(visit) }

// InMemory returns the session with an ID, as [ID.String] has it, if this node has it
// in memory and it has not ended, else nil. It needs no ticket: the caller knows from
// elsewhere who is signed in.
func (s *Store) InMemory(text string) *Session {
	id, err := ParseID(text)
	if err != nil {
		return nil
	}
	session := s.memory.get(id)
	if session == nil || session.Ended() {
		return nil
	}
	return session
}

// Held calls visit for each session with a stream or transfer in progress.
func (s *Store) Held(visit func(*Session)) {
	s.memory.each(func(session *Session) {
		if session.held.Load() > 0 {
			visit(session)
		}
	})
}

// Create stores rec as a new session and returns it with a new ticket for the
// cookie. It sets rec.Created. Head and record are in storage when it returns.
// Never log the ticket.
func (s *Store) Create(ctx context.Context, rec Record) (string, *Session, error) {
	v, err := s.openVault(ctx)
	if err != nil {
		return "", nil, err
	}
	rec = rec.clone()
	rec.Created = s.now().UTC()
	head := newHead(&rec, rec.Created.Add(v.limits.Lifetime), s.node)
	t := newTicket(v.keys)
	// Results are unnamed: if storage hangs, the work below outlives Create, and a
	// return must not overwrite what it reads.
	session := s.newSession(t, &head, &snapshot{Revision: 1, Record: rec}, rec.Created.Unix())

	// The head is written first and removed last: without a head there is no session.
	err = within(ctx, storeLimit, func(ctx context.Context) error {
		if err := v.storeHead(ctx, session.id, &head); err != nil {
			return err
		}
		return v.storeRecord(ctx, session, session.record.Load())
	})
	if err != nil {
		_ = within(context.WithoutCancel(ctx), storeLimit, func(ctx context.Context) error {
			return v.remove(ctx, session.id) // if this fails, the sweep removes it
		})
		return "", nil, fmt.Errorf("creating a session: %w", err)
	}
	s.memory.insert(session)
	return t.String(), session, nil
}

// newSession takes the last use in Unix seconds.
func (s *Store) newSession(t ticket, head *Head, record *snapshot, used int64) *Session {
	sum := t.sum()
	created := s.tickOf(head.Created.Unix())
	session := &Session{
		store: s, id: idOf(sum), tail: [16]byte(sum[len(ID{}):]), key: t.key(s.gate),
		created: created, expires: created + head.Expires.Unix() - head.Created.Unix(),
		signedIn: head.Created.UnixNano(), node: unique.Make(head.Node),
	}
	session.record.Store(record)
	session.used.Store(s.tickOf(used))
	session.written.Store(session.used.Load())
	if used > s.unix() { // a use in the future counts as now, and the next one puts that right in storage
		session.written.Store(0)
	}
	return session
}
