// Storage: a keyring.Storage in memory.

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
// absent folder. Like a network client, it does nothing on an Unlock with a
// context that has ended. All methods may be called concurrently, also while
// others are blocked in a hook or a delay.
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
}

// New returns an empty storage.
func New() *Storage {
	return &Storage{
		values: map[string][]byte{}, locks: map[string]chan struct{}{}, calls: map[string]int{},
		faults: map[string]error{},
	}
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
	if len(keys) == 0 {
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
