// Clients without a browser: the presets that an operator can let in.

package romm

import (
	"fmt"
	"slices"
)

// The presets, by the words of the setting. Clients with a client token of
// RomM's work without any of them.
const (
	// ClientsPassword sign in with a RomM user name and password, so without
	// the provider and its second factor.
	ClientsPassword = "password"
	// ClientsBearer send an access token from the provider.
	ClientsBearer = "bearer"
	// ClientsFeeds are consoles and web pages that read lists of games.
	ClientsFeeds = "feeds"
	// ClientsDownloads download files without a credential.
	ClientsDownloads = "downloads"
	// ClientsCovers load images and manuals without a credential.
	ClientsCovers = "covers"
)

// Clients is the set of presets that are let in.
type Clients map[string]bool

// ParseClients returns words as a set. It refuses unknown and repeated words.
func ParseClients(words []string) (Clients, error) {
	all := []string{ClientsPassword, ClientsBearer, ClientsFeeds, ClientsDownloads, ClientsCovers}
	clients := make(Clients)
	for _, word := range words {
		if !slices.Contains(all, word) {
			return nil, fmt.Errorf("%q is not known: there are %v", word, all)
		}
		if clients[word] {
			return nil, fmt.Errorf("%s is given twice", word)
		}
		clients[word] = true
	}
	return clients, nil
}
