// A node's way to the storage: it ends with the node, and locks have a lease.

package nodes

import (
	"context"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

// lease is how long a lock outlives a process that was killed.
const lease = 10 * time.Second

// disk is a node's storage.
type disk struct {
	*keyringtest.Storage
	node *node

	mu   sync.Mutex
	held map[string]bool
}

func (d *disk) alive() error {
	if d.node.dead.Load() {
		return keyringtest.ErrUnavailable
	}
	return nil
}

func (d *disk) hold(name string, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if held {
		d.held[name] = true
		return
	}
	delete(d.held, name)
}

// release frees the locks of a dead process.
func (d *disk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.held {
		_ = d.Storage.Unlock(context.Background(), name) // another node may have taken it by now
	}
	clear(d.held)
}

func (d *disk) Lock(ctx context.Context, name string) error {
	if err := d.alive(); err != nil {
		return err
	}
	err := d.Storage.Lock(ctx, name)
	if err == nil {
		d.hold(name, true)
	}
	return err
}

func (d *disk) Unlock(ctx context.Context, name string) error {
	if err := d.alive(); err != nil {
		return err
	}
	d.hold(name, false)
	return d.Storage.Unlock(ctx, name)
}

func (d *disk) Store(ctx context.Context, key string, value []byte) error {
	if err := d.alive(); err != nil {
		return err
	}
	return d.Storage.Store(ctx, key, value)
}

func (d *disk) Load(ctx context.Context, key string) ([]byte, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.Storage.Load(ctx, key)
}

func (d *disk) Delete(ctx context.Context, key string) error {
	if err := d.alive(); err != nil {
		return err
	}
	return d.Storage.Delete(ctx, key)
}

func (d *disk) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.Storage.List(ctx, folder, recursive)
}
