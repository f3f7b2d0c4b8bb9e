// Controls: how tests slow a Storage down, break it and look into it.

package keyringtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

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
