CREATE TABLE "used_links" (
	"link" text PRIMARY KEY NOT NULL,
	"browser" text NOT NULL
);
