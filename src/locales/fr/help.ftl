# L’aide de la ligne de commande. L’anglaise se trouve auprès des arguments mêmes, dans src/client/cli.rs.

help-template = {"{about-with-newline}"}
    Utilisation : {"{usage}"}

    {"{all-args}{after-help}"}
help-heading-commands = Commandes
help-heading-global = Options de toutes les commandes
help-heading-machine = Détails du serveur

help-ptc-enroll = Obtient, installe et teste les certificats du CTP pour cette machine et pour des serveurs externes
help-examples-ptc-enroll =
    Exemples :
    {"  "}ptc-enroll submit --email admin@poste.example --locality Paris
    {"  "}ptc-enroll fetch --wait 10m
    {"  "}ptc-enroll test

    Codes de sortie :
    {"  "}0 fait   1 imprévu   2 utilisation   3 configuration ou saisie   4 refusé   5 en attente
    {"  "}6 réseau ou service indisponible   7 confiance TLS   8 échec d’une clé ou du magasin
help-submit = Créer une clé et une demande (CSR) pour cette machine et les soumettre
help-examples-submit =
    Exemples :
    {"  "}ptc-enroll submit --email admin@poste.example --locality Paris --region Île-de-France
    {"  "}ptc-enroll submit --answers site.toml --no-input
    {"  "}ptc-enroll submit --answers site.toml --common-name https://api.poste.example
    {"  "}ptc-enroll submit --answers site.toml --grant-read "NETWORK SERVICE"
help-fetch = Mettre toutes les demandes à jour ; installer ou télécharger ce qui est approuvé
help-examples-fetch =
    Exemples :
    {"  "}ptc-enroll fetch
    {"  "}ptc-enroll fetch --wait 10m

    Se termine par 5 tant qu’une demande est en attente, pour qu’un script puisse revenir plus tard.
help-test = Prouver que le certificat installé fonctionne
help-subject = Afficher le nom du sujet du certificat installé
help-examples-subject =
    Exemples :
    {"  "}ptc-enroll subject --copy
    {"  "}ptc-enroll subject --format openssl
help-submit-external = Soumettre des demandes (CSR) faites ailleurs, pour d’autres serveurs
help-examples-submit-external =
    Exemples :
    {"  "}ptc-enroll submit-external api.csr --email admin@poste.example
    {"  "}ptc-enroll submit-external csrs/ 'autres/*.csr' --answers site.toml --output jsonl
    {"  "}ptc-enroll submit-external --manifest serveurs.csv --report rapport.csv
    {"  "}ptc-enroll submit-external api.csr web.csr --dry-run

    Un manifeste a une ligne par serveur ; la première nomme les colonnes. Seule csr est indispensable ; ce qu’une
    ligne laisse vide vient des options et réponses ci-dessous :
    {"  "}csr;host_name;email;description
    {"  "}csrs/api.csr;api.poste.example;api@poste.example;Interface colis
help-status = Lister les demandes connues ici, sans réseau
help-forget = Supprimer les enregistrements de demandes rejetées, annulées, révoquées ou expirées
help-examples-forget =
    Exemple :
    {"  "}ptc-enroll forget 34

    Jusque-là, fetch se termine par 4 tant que la dernière demande pour un nom est rejetée, expirée ou révoquée.
help-completions = Écrire sur la sortie standard de quoi compléter les commandes dans un shell
help-help = Afficher cette aide ou celle d’une commande

help-arg-home = Dossier des paquets, des enregistrements et des certificats [par défaut : PTC_ENROLL_HOME, sinon le dossier où le paquet est décompressé, sinon l’emplacement du système]
help-arg-environment = Environnement visé, quand plusieurs sont installés
help-arg-output = Forme du résultat : text (pour les personnes), json (un objet par commande), jsonl (un objet par demande)
help-arg-lang = Langue du résultat : en ou fr [par défaut : celle du système]
help-arg-no_input = Ne jamais poser de question, même sur un terminal
help-arg-verbose = Journaliser davantage sur stderr ; deux fois pour tout
help-arg-help = Afficher l’aide
help-arg-version = Afficher la version
help-arg-shell = Shell visé
help-arg-answers = Fichier TOML qui donne des champs ci-dessous
help-arg-email = Adresse électronique du responsable ; figure dans le certificat
help-arg-submit-external-email = Adresse électronique du responsable, pour l’approbateur
help-arg-telephone = Numéro de téléphone, pour l’approbateur
help-arg-description = Texte libre qui aide l’approbateur
help-arg-locality = Localité de la machine
help-arg-region = État ou région de la machine
help-arg-key = Clé à créer : rsa-2048, rsa-3072, rsa-4096, ec-p256 ou ec-p384 [par défaut : rsa-2048]
help-arg-common_name = Nom demandé : nom d’hôte public ou URL d’un serveur ; pour une machine clonée, un nom à la place de celui trouvé
help-arg-store = Où installer : machine ou user [par défaut : ce que dit le paquet]
help-arg-grant_read = Compte qui pourra aussi utiliser la clé, en plus des administrateurs ; peut être répété (Windows)
help-arg-replaced = Ce que devient l’ancien certificat de cette machine : keep (rester), archive (archiver) ou remove (supprimer, avec sa clé) [par défaut : archive]
help-arg-dry_run = Montrer ce qui serait fait, sans rien envoyer
help-arg-wait = Redemander jusqu’à ce que rien ne soit en attente, au plus aussi longtemps : 30s, 10m, 2h
help-arg-format = Forme du nom : windows (comme l’affiche .NET), rfc4514 ou openssl
help-arg-copy = Mettre aussi le nom dans le presse-papiers
help-arg-numbers = Numéros des demandes
help-arg-files = Demandes (CSR), PEM ou DER ; motifs tels que csrs/*.csr ; d’un dossier, tous les .csr, .req, .p10, .pem et .der qu’il contient
help-arg-manifest = Fichier CSV avec une CSR par ligne et ce qu’on sait de son serveur : csr, host_name, mac_address, nic_id, processor_id, os_version, os_type, email, telephone, description
help-arg-report = Écrire un fichier CSV qui dit de chaque CSR ce qu’elle est devenue
help-arg-connections = Connexions simultanées au service, de 1 à 16
help-arg-again = Envoyer aussi les CSR dont une demande plus récente a pris la place, pour revenir à une CSR plus ancienne, ou dont le certificat a été révoqué, si la clé reste bonne
help-arg-host_name = Nom d’hôte complet
help-arg-mac_address = Adresse MAC
help-arg-nic_id = Identifiant réseau
help-arg-processor_id = Identifiant du processeur
help-arg-os_version = Nom et version du système d’exploitation
help-arg-os_type = 64-bit ou 32-bit

usage-value = la valeur « { $value } » de { $argument } n’est pas valable
usage-unknown = argument inconnu : { $argument }
usage-missing = il manque : { $argument }
usage-command = commande inconnue : { $argument }
usage-other = la ligne de commande n’est pas valable : { $argument }
usage-next = « { $command } --help » montre ce qui est possible.
