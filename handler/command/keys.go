package command

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func keysCommand() *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Manages the keys that seal what is stored and sign RomM's ID tokens", RunE: showHelp}
	keys.AddCommand(&cobra.Command{Use: "rotate", Short: "Makes new keys", Args: takes(), RunE: rotateKeys})
	return keys
}

func rotateKeys(c *cobra.Command, _ []string) error {
	var rotated []admin.Rotated
	if err := ask(c, http.MethodPost, admin.RotatePath, nil, &rotated); err != nil {
		return err
	}
	for _, r := range rotated {
		say(c, "Gate %s: new keys are stored. They come into use within the hour, when every Caddy knows them. No session ends.", r.Gate)
	}
	return nil
}
