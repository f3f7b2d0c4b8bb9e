// Storages for the tests: one in memory, which can fail, and one that hangs.

package handler

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// memory is a storage in memory.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	err    error // returned by every call if set
}

func (m *memory) Lock(ctx context.Context, name string) error {
	m.mu.Lock()
	if m.locks == nil {
		m.locks = make(map[string]chan struct{})
	}
	if m.locks[name] == nil {
		m.locks[name] = make(chan struct{}, 1)
	}
	lock, err := m.locks[name], m.err
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
	return m.err
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.values[key] = value
	}
	return m.err
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if m.err == nil && !ok {
		return nil, fs.ErrNotExist
	}
	return value, m.err
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return m.err
}

func (m *memory) List(_ context.Context, path string, _ bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.values {
		if strings.HasPrefix(key, path+"/") {
			keys = append(keys, key)
		}
	}
	return keys, m.err
}

// fail makes every call return err.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// hangingStorage lists nothing until it is released, even if the context ends.
type hangingStorage struct {
	*memory
	released chan struct{}
}

func (h *hangingStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	<-h.released
	return h.memory.List(ctx, path, recursive)
}

// fullStorage takes locks but cannot be written.
type fullStorage struct{ keyring.Storage }

func (fullStorage) Store(context.Context, string, []byte) error {
	return errors.New("no space left on device")
}
