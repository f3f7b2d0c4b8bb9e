package keyring

import (
	"context"
	"io/fs"
	"slices"
	"sync"
	"testing"
)

// memory is a storage in memory with a lock that locks.
type memory struct {
	Storage // what the tests do not use panics

	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	stores int
	fail   map[string]error // by method
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, locks: map[string]chan struct{}{}, fail: map[string]error{}}
}

func (m *memory) Lock(ctx context.Context, name string) error {
	m.mu.Lock()
	if m.locks[name] == nil {
		m.locks[name] = make(chan struct{}, 1)
	}
	lock, err := m.locks[name], m.fail["Lock"]
	m.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	<-m.locks[name]
	return nil
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail["Store"]; err != nil {
		return err
	}
	m.stores++
	m.values[key] = slices.Clone(value)
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail["Load"]; err != nil {
		return nil, err
	}
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(value), nil
}

// ringOf returns a keyring of gate whose secrets are made of these bytes.
func ringOf(tb testing.TB, gate string, secrets ...byte) *Keyring {
	tb.Helper()
	all := make([][]byte, len(secrets))
	for i, secret := range secrets {
		all[i] = slices.Repeat([]byte{secret}, secretSize)
	}
	keyring, err := New(gate, all...)
	if err != nil {
		tb.Fatal(err)
	}
	return keyring
}
