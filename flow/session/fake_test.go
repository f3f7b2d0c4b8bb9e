// The fake storage and the helpers of all tests.

package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

var errAway = errors.New("storage is away")

// fakeStorage is a keyring.Storage in memory that can be slow, fail, lose files
// during a listing, count its calls and call a hook before each.
type fakeStorage struct {
	latency time.Duration
	away    atomic.Bool
	full    atomic.Bool  // no value can be stored
	vanish  atomic.Int32 // the next n Lists fail as if a file were deleted during them
	strict  bool         // List of an absent path fails, as on a file system
	calls   atomic.Int64
	before  func(operation, key string) error // may be nil

	mu     sync.Mutex
	values map[string][]byte
	counts map[string]int
	locks  map[string]chan struct{}
}

var _ keyring.Storage = (*fakeStorage)(nil)

func newFakeStorage() *fakeStorage {
	return &fakeStorage{values: map[string][]byte{}, counts: map[string]int{}, locks: map[string]chan struct{}{}, strict: true}
}

func (f *fakeStorage) enter(operation, key string) error {
	f.calls.Add(1)
	f.mu.Lock()
	f.counts[operation]++
	f.mu.Unlock()
	if f.latency > 0 {
		time.Sleep(f.latency)
	}
	if f.away.Load() || operation == "store" && f.full.Load() {
		return errAway
	}
	if f.before != nil {
		return f.before(operation, key)
	}
	return nil
}

func (f *fakeStorage) Lock(ctx context.Context, name string) error {
	if err := f.enter("lock", name); err != nil {
		return err
	}
	f.mu.Lock()
	if f.locks[name] == nil {
		f.locks[name] = make(chan struct{}, 1)
	}
	lock := f.locks[name]
	f.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeStorage) Unlock(_ context.Context, name string) error {
	if f.before != nil {
		_ = f.before("unlock", name)
	}
	f.mu.Lock()
	lock := f.locks[name]
	f.mu.Unlock()
	<-lock
	return nil
}

func (f *fakeStorage) Store(_ context.Context, key string, value []byte) error {
	if err := f.enter("store", key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[key] = slices.Clone(value)
	return nil
}

func (f *fakeStorage) Load(_ context.Context, key string) ([]byte, error) {
	if err := f.enter("load", key); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.values[key]
	if !ok {
		return nil, fmt.Errorf("loading %s: %w", key, fs.ErrNotExist)
	}
	return slices.Clone(value), nil
}

func (f *fakeStorage) Delete(_ context.Context, key string) error {
	if err := f.enter("delete", key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.values, key)
	if _, err := ParseID(path.Base(key)); err == nil {
		return nil // a session's value, which is no folder
	}
	maps.DeleteFunc(f.values, func(k string, _ []byte) bool { return k == key || strings.HasPrefix(k, key+"/") })
	return nil
}

func (f *fakeStorage) List(_ context.Context, folder string, recursive bool) ([]string, error) {
	if err := f.enter("list", folder); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]struct{}{}
	for key := range f.values {
		rest, under := strings.CutPrefix(key, folder+"/")
		if !under {
			continue
		}
		if child, _, deep := strings.Cut(rest, "/"); deep && !recursive {
			rest = child
		}
		found[folder+"/"+rest] = struct{}{}
	}
	keys := slices.Sorted(maps.Keys(found))
	if len(keys) > 0 && f.vanish.Load() > 0 && f.vanish.Add(-1) >= 0 {
		return keys[:len(keys)/2], fmt.Errorf("lstat: %w", fs.ErrNotExist)
	}
	if len(keys) == 0 && f.strict {
		return nil, fmt.Errorf("listing %s: %w", folder, fs.ErrNotExist)
	}
	return keys, nil
}

// under returns the keys of the stored values in a folder.
func (f *fakeStorage) under(folder string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for key := range f.values {
		if strings.Contains(key, "/sessions/"+folder+"/") {
			keys = append(keys, key)
		}
	}
	return keys
}

func (f *fakeStorage) put(key string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[key] = slices.Clone(value)
}

func (f *fakeStorage) get(key string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[key]
}

func (f *fakeStorage) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[operation]
}

// takeCounts returns how often each method was called since the last call of it.
func (f *fakeStorage) takeCounts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.counts
	f.counts = map[string]int{}
	return counts
}

const testGate = "0123456789abcdef"

var defaultLimits = Limits{Idle: DefaultIdle, Lifetime: DefaultLifetime}

// newTestStore returns a node of the test gate that uses storage.
func newTestStore(storage keyring.Storage, change ...func(*Options)) *Store {
	o := Options{Gate: testGate, Node: "a", Logger: zap.NewNop()}
	for _, c := range change {
		c(&o)
	}
	s := New(o)
	s.Configure(storage, defaultLimits)
	return s
}

func storageKey(folder string, id ID) string { return (&vault{gate: testGate}).key(folder, id) }

// poll runs the tasks of one poll.
func poll(ctx context.Context, s *Store) error {
	var err error
	for _, task := range s.pollTasks() {
		err = errors.Join(err, task.run(ctx))
	}
	return err
}

// pollOnce polls as Run does, and so survives a storage that panics.
func pollOnce(t *testing.T, s *Store) {
	t.Helper()
	for _, task := range s.pollTasks() {
		s.attempt(t.Context(), task)
	}
}

// start runs a store's workers until the test ends.
func start(t *testing.T, s *Store) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); s.Run(context.Background()) }()
	t.Cleanup(func() { s.Close(); <-done })
}

func recordOf(name string) Record {
	return Record{
		Identity: flow.Identity{
			Issuer: "https://auth.example.com", Subject: "sub-" + name, Username: name,
			Email: name + "@example.com", Groups: []string{"users"},
		},
		Tokens: flow.Tokens{
			Access: "authelia_at_" + name, Refresh: "authelia_rt_" + name, ID: "eyJ" + name,
			Expires: time.Now().Add(time.Hour), SID: "sid-" + name,
		},
		Upstream: Upstream{ID: "romm-" + name},
	}
}

func create(t *testing.T, s *Store, name string) (string, *Session) {
	t.Helper()
	ticket, session, err := s.Create(t.Context(), recordOf(name))
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return ticket, session
}

// mustOpen looks up a ticket and expects a session; mustNot expects no session.
func mustOpen(t *testing.T, s *Store, ticket string) *Session {
	t.Helper()
	session, err := s.Lookup(t.Context(), ticket)
	if err != nil || session == nil {
		t.Fatalf("Lookup = %v, %v, want a session", session, err)
	}
	return session
}

func mustNot(t *testing.T, s *Store, ticket string) {
	t.Helper()
	if session, err := s.Lookup(t.Context(), ticket); session != nil || err != nil {
		t.Fatalf("Lookup = %v, %v, want no session", session, err)
	}
}

// stream is a Holder that calls cancel when it is aborted.
type stream struct{ cancel func() }

func (s *stream) Abort() { s.cancel() }

// hold holds a session until release is called.
func hold(s *Session, cancel func()) (release func()) {
	h := &stream{cancel}
	at := s.Hold(h)
	return func() { at.Release(h) }
}
