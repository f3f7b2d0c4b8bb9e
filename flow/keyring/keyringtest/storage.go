// Storage: a keyring.Storage in memory that tests can slow down, break and
// look into.

package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrUnavailable is an error for tests to break a Storage with.
var ErrUnavailable = errors.New("storage is unavailable")

// Storage keeps values in memory. Its locks exclude each other across all
// callers. Like a file system, it answers fs.ErrNotExist for a List of an
// absent folder. Like a network client, it ignores an Unlock whose context has
// ended. All methods may be called concurrently, also while others are blocked
// in a hook or a delay.
//
// Methods are named as in the interface: "Lock", "Unlock", "Store", "Load",
// "Delete", "List".
type Storage struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	calls  map[string]int
	faults map[string]error
	hook   func(ctx context.Context, method, key string) error
	delay  time.Duration
	writes int // writes left before they fail; negative: no limit
	full   error
	vanish int
	flat   bool
}

// New returns an empty storage.
func New() *Storage {
	return &Storage{
		values: map[string][]byte{}, locks: map[string]chan struct{}{}, calls: map[string]int{},
		faults: map[string]error{}, writes: -1,
	}
}

// Fail makes calls of the methods, or of every method but Unlock if none is
// given, return err instead of doing anything. A nil err ends that. Faults
// that were set by method and for all methods are independent.
func (s *Storage) Fail(err error, methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(methods) == 0 {
		methods = []string{""}
	}
	for _, method := range methods {
		s.faults[method] = err
	}
}

// FailWritesAfter lets n more calls of Store and Delete succeed; later ones
// return err. A negative n removes the limit.
func (s *Storage) FailWritesAfter(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.full = n, err
}

// Before sets a hook that runs before each call except Unlock, after the delay
// and outside all locks. It may block, panic or use the storage itself. If it
// returns an error, the call returns that and does nothing. Nil removes it.
func (s *Storage) Before(hook func(ctx context.Context, method, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// Delay makes each call except Unlock take at least d.
func (s *Storage) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// VanishDuringList makes the next n Lists that find something return half of
// it with fs.ErrNotExist, as if another node deleted a file meanwhile.
func (s *Storage) VanishDuringList(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vanish = n
}

// ListAbsentAsEmpty makes List of an absent folder return no keys and no
// error, as key-value backends do.
func (s *Storage) ListAbsentAsEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flat = true
}

// Calls returns the number of calls of the methods so far, failed ones
// included, or of all methods but Unlock if none is given.
func (s *Storage) Calls(methods ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(methods) == 0 {
		methods = []string{"Lock", "Store", "Load", "Delete", "List"}
	}
	n := 0
	for _, method := range methods {
		n += s.calls[method]
	}
	return n
}

// Put stores a value without counting, delaying or failing.
func (s *Storage) Put(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = slices.Clone(value)
}

// Value returns a stored value, or nil if key is absent, without counting,
// delaying or failing.
func (s *Storage) Value(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.values[key])
}

// Keys returns the stored keys that contain part, sorted.
func (s *Storage) Keys(part string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.Sorted(maps.Keys(s.values))
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.Contains(key, part) })
}

// Clone returns a storage with the same values and nothing else in common.
func (s *Storage) Clone() *Storage {
	clone := New()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, value := range s.values {
		clone.values[key] = slices.Clone(value)
	}
	return clone
}

// Locked returns the names of the locks that are held, sorted.
func (s *Storage) Locked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.locks))
	return slices.DeleteFunc(names, func(name string) bool { return len(s.locks[name]) == 0 })
}

// Lock implements keyring.Storage. It waits until name is free or ctx ends.
func (s *Storage) Lock(ctx context.Context, name string) error {
	if err := s.begin(ctx, "Lock", name); err != nil {
		return err
	}
	s.mu.Lock()
	if s.locks[name] == nil {
		s.locks[name] = make(chan struct{}, 1)
	}
	lock := s.locks[name]
	s.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unlock implements keyring.Storage. It leaves the lock held if ctx has ended.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["Unlock"]++
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.faults["Unlock"]; err != nil {
		return err
	}
	select {
	case <-s.locks[name]:
		return nil
	default:
		return fmt.Errorf("unlocking %s: it is not locked", name)
	}
}

// Store implements keyring.Storage.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.begin(ctx, "Store", key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(); err != nil {
		return err
	}
	s.values[key] = slices.Clone(value)
	return nil
}

// Load implements keyring.Storage.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.begin(ctx, "Load", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[key]
	if !ok {
		return nil, fmt.Errorf("loading %s: %w", key, fs.ErrNotExist)
	}
	return slices.Clone(value), nil
}

// Delete implements keyring.Storage. It deletes the value of key or, if key
// has none, everything in the folder of that name.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, "Delete", key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(); err != nil {
		return err
	}
	if _, ok := s.values[key]; ok {
		delete(s.values, key)
		return nil
	}
	maps.DeleteFunc(s.values, func(k string, _ []byte) bool { return strings.HasPrefix(k, key+"/") })
	return nil
}

// List implements keyring.Storage. Keys come with their folder, sorted.
func (s *Storage) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	if err := s.begin(ctx, "List", folder); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]struct{}{}
	for key := range s.values {
		rest, inside := strings.CutPrefix(key, folder+"/")
		if !inside {
			continue
		}
		if child, _, deep := strings.Cut(rest, "/"); deep && !recursive {
			rest = child
		}
		found[folder+"/"+rest] = struct{}{}
	}
	keys := slices.Sorted(maps.Keys(found))
	if len(keys) > 0 && s.vanish > 0 {
		s.vanish--
		return keys[:len(keys)/2], fmt.Errorf("listing %s: %w", folder, fs.ErrNotExist)
	}
	if len(keys) == 0 && !s.flat {
		return nil, fmt.Errorf("listing %s: %w", folder, fs.ErrNotExist)
	}
	return keys, nil
}

// begin counts a call, delays it, and returns the error it is to fail with.
func (s *Storage) begin(ctx context.Context, method, key string) error {
	s.mu.Lock()
	s.calls[method]++
	delay, hook := s.delay, s.hook
	s.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if hook != nil {
		if err := hook(ctx, method, key); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faults[""]; err != nil {
		return err
	}
	return s.faults[method]
}

// write takes one of the writes that are left. It needs s.mu.
func (s *Storage) write() error {
	if s.writes == 0 {
		return s.full
	}
	if s.writes > 0 {
		s.writes--
	}
	return nil
}
