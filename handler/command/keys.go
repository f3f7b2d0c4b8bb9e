// caddy romm-oidc keys.

package command

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func keysCommand() *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Manages the keys that seal stored data and sign RomM's ID tokens", RunE: showHelp}
	keys.AddCommand(&cobra.Command{Use: "rotate", Short: "Creates new keys", Args: takes(), RunE: rotateKeys})
	return keys
}

func rotateKeys(c *cobra.Command, _ []string) error {
	var rotated []admin.Rotated
	if err := send(c, call{method: http.MethodPost, path: admin.RotatePath}, &rotated); err != nil {
		return err
	}
	if printed(c, rotated) {
		return nil
	}
	for _, r := range rotated {
		say(c, "Gate %s: new keys are stored. They come into use within the hour, once every Caddy has read them. No session ends.", r.Gate)
	}
	return nil
}
