package session

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	// DefaultIdle is how long a session lives without use.
	DefaultIdle = 14 * 24 * time.Hour

	// DefaultLifetime is how long a session lives whatever its use.
	DefaultLifetime = 30 * 24 * time.Hour

	// DefaultCapacity is how many sessions are kept in memory. One that is not
	// there costs four reads of storage at its next request, so it need not
	// hold all: this many take about 60 MiB with the tokens that Authelia
	// gives, and are more than a library has signed-in browsers.
	DefaultCapacity = 20_000

	loadLimit  = 10 * time.Second // for reading one session
	storeLimit = 10 * time.Second // for writing what must not be lost when the request ends
	absentFor  = 60               // seconds for which an id without a session is not looked up again
)

// Limits say when a session ends by itself, and when what seals it is replaced.
// Zero values mean the defaults.
type Limits struct {
	Idle     time.Duration // without use; measured to Idle/20 across restarts and nodes
	Lifetime time.Duration // since sign-in
	Rotate   time.Duration // age of the newest secret at which there is another
}

// Options are what a Store is made of for its whole life.
type Options struct {
	Gate     string           // the gate's id: storage prefix, and part of every key
	Capacity int              // sessions in memory, DefaultCapacity if 0
	Node     string           // the name of this node in lists
	Logger   *zap.Logger      // none if nil
	Now      func() time.Time // time.Now if nil
}

// Store keeps the sessions of one gate. Configure it, and have one goroutine
// call Run; all methods may be called at once.
type Store struct {
	gate   string
	node   string
	logger *zap.Logger
	now    func() time.Time
	ended  func(session *Session, reason string, underWay bool) // nil: nobody wants to know

	settings atomic.Pointer[settings]
	ring     atomic.Pointer[loadedKeyring]
	memory   memory
	loads    singleflight.Group // by the whole ticket's sum
	rings    singleflight.Group
	tries    singleflight.Group
	locks    keyLock       // one Update of a session at a time
	seen     chan *Session // whose last use is to be written
	retries  retryQueue    // what storage could not take yet
	revoked  revocations   // what was asked for lately
	away     atomic.Bool
	polled   int64 // Unix seconds of the last tombstones read; only poll uses it

	life   sync.Mutex
	stop   context.CancelFunc
	done   chan struct{}
	closed bool
}

// settings change at every reload.
type settings struct {
	storage keyring.Storage
	limits  Limits
	grain   int64 // seconds between two writes of one session's last use
}

// New returns a store that answers ErrNotConfigured until Configure is called.
func New(o Options) *Store {
	if o.Capacity <= 0 {
		o.Capacity = DefaultCapacity
	}
	s := &Store{gate: o.Gate, node: o.Node, logger: o.Logger, now: o.Now, memory: newMemory(o.Capacity)}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.seen = make(chan *Session, seenQueue)
	return s
}

// Configure sets where sessions are stored and how long they live. Every
// instance of the gate calls it; the last call wins, for live sessions too.
func (s *Store) Configure(storage keyring.Storage, limits Limits) {
	if limits.Idle <= 0 {
		limits.Idle = DefaultIdle
	}
	if limits.Lifetime <= 0 {
		limits.Lifetime = DefaultLifetime
	}
	if limits.Rotate <= 0 {
		limits.Rotate = keyring.DefaultRotate
	}
	grain := max(1, int64(limits.Idle/20/time.Second))
	s.settings.Store(&settings{storage: storage, limits: limits, grain: grain})
}

func (s *Store) configured() (*settings, error) {
	if cfg := s.settings.Load(); cfg != nil && cfg.storage != nil {
		return cfg, nil
	}
	return nil, ErrNotConfigured
}

func (s *Store) unix() int64 { return s.now().Unix() }

// Len returns how many sessions are in memory.
func (s *Store) Len() int { return s.memory.size() }

// Held calls visit for the sessions that have a stream or transfer in progress.
func (s *Store) Held(visit func(*Session)) {
	s.memory.each(func(session *Session) {
		if session.held.Load() > 0 {
			visit(session)
		}
	})
}

// Away reports whether storage did not answer when the store last asked: then
// ends on other nodes go unnoticed here, and memory is trusted.
func (s *Store) Away() bool { return s.away.Load() }

// Create makes a session of rec, always with a new ticket, and sets
// rec.Created. Record and head are in storage when it returns.
func (s *Store) Create(ctx context.Context, rec Record) (Ticket, *Session, error) {
	cfg, err := s.configured()
	if err != nil {
		return Ticket{}, nil, err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return Ticket{}, nil, err
	}
	rec = rec.clone()
	rec.Created = s.now().UTC()
	head := headOf(&rec, rec.Created.Add(cfg.limits.Lifetime), s.node)
	ticket := newTicket(ring)
	session := s.newSession(ticket, &head, &snapshot{Revision: 1, Record: rec}, rec.Created.Unix())

	// The head goes first and is removed last: what has no head is nothing.
	err = within(ctx, storeLimit, func(ctx context.Context) error {
		if err := s.storeHead(ctx, cfg, ring, session.id, &head); err != nil {
			return err
		}
		return s.storeRecord(ctx, cfg, session, session.record.Load())
	})
	if err != nil {
		_ = within(context.WithoutCancel(ctx), storeLimit, func(ctx context.Context) error {
			return s.remove(ctx, cfg, session.id) // else the sweep does
		})
		return Ticket{}, nil, fmt.Errorf("creating a session: %w", err)
	}
	s.memory.insert(session)
	return ticket, session, nil
}

func (s *Store) newSession(ticket Ticket, head *Head, record *snapshot, used int64) *Session {
	sum := ticket.sum()
	session := &Session{
		store: s, id: idOf(sum), sum: sum, key: ticket.key(s.gate),
		created: head.Created.Unix(), expires: head.Expires.Unix(),
	}
	session.head.Store(head)
	session.record.Store(record)
	session.used.Store(used)
	session.written.Store(used)
	return session
}

// Lookup returns the session that the ticket in a cookie opens, and marks it
// used. It returns nil without an error when there is none: the text is no
// ticket, is forged, or its session has ended. An error says that storage
// could not tell; the session may be alive, and the caller answers 503.
//
// A session in memory costs no I/O and no lock, a forged ticket no I/O.
func (s *Store) Lookup(ctx context.Context, text string) (*Session, error) {
	ticket, ok := parseTicket(text)
	if !ok {
		return nil, nil
	}
	cfg, err := s.configured()
	if err != nil {
		return nil, err
	}
	sum := ticket.sum()
	id := idOf(sum)
	session, taken := s.memory.find(id, &sum)
	if session == nil {
		if taken {
			return nil, nil
		}
		return s.load(ctx, cfg, ticket, id)
	}
	now := s.unix()
	switch {
	case session.ended.Load():
		return nil, nil
	case session.expired(now, cfg.limits):
		s.endLocal(id, ReasonLifetime)
		return nil, nil
	case session.idle(now, cfg.limits): // here; it may be in use on another node
		s.memory.release(session)
		return s.load(ctx, cfg, ticket, id)
	}
	s.use(session, now, cfg)
	return session, nil
}

// shared runs work once for all callers that give the same key at the same
// time. Work goes on when a caller gives up, for no longer than limit; no
// caller waits longer than that either, should storage not care.
func shared[T any](ctx context.Context, group *singleflight.Group, key string, limit time.Duration,
	work func(context.Context) (T, error),
) (T, error) {
	results := group.DoChan(key, func() (result any, err error) {
		defer recovered(&err)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		return work(ctx)
	})
	var none T
	waiting, cancel := context.WithTimeout(ctx, limit) // ctx itself is work's
	defer cancel()
	select {
	case <-waiting.Done():
		return none, fmt.Errorf("waiting for storage: %w", context.Cause(waiting))
	case result := <-results:
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil //nolint:errcheck // what work returned
	}
}

// within does work, and waits for it no longer than limit, even if storage does
// not care for its context: a network file system may hang.
func within(ctx context.Context, limit time.Duration, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		var err error
		defer func() { done <- err }()
		defer recovered(&err)
		err = work(ctx)
	}()
	select {
	case <-ctx.Done():
		select {
		case err := <-done: // and not because it is done
			return err
		default:
			return fmt.Errorf("waiting for storage: %w", context.Cause(ctx))
		}
	case err := <-done:
		return err
	}
}

// recovered turns the panic of a storage module into an error, so that it does
// not end the process outside of a request's goroutine.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("storage panicked: %v", p)
	}
}
